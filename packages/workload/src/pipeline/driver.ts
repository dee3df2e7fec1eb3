/**
 * The driver: reads the records of a capture, copies each frame into mbufs, gives the tap a shared
 * copy, and steers the frame to a protocol CPU.
 *
 * Order: what it sends to one protocol CPU is in order of frames, and a fragment that goes to one
 * is announced to all others by a fence, at its place among their frames (protocol.ts says why).
 * The fragment is in its ring before any of its fences can be.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { CaptureError } from '../capture/capture-error.ts';
import { openCaptureFile } from '../capture/capture-file.ts';
import type { PacketCursor } from '../capture/packet-cursor.ts';
import { Kind, protocolRing, tapRing } from './control.ts';
import { FrameMbufs } from './frame-mbufs.ts';
import { Outbox } from './outbox.ts';
import type { PipelineCpu, Role } from './pipeline-cpu.ts';
import { Steering } from './steering.ts';

export interface DriverResult {
  readonly frames: number;
  /** Link types of the frames in order of first frame; without frames, of the interfaces. */
  readonly linkTypes: readonly number[];
  /** Where the record begins that the end of the file cuts off. */
  readonly truncatedAt: number | null;
  /** A file or record that cannot be right; the frames before it went through. */
  readonly failure: { readonly offset: number; readonly message: string } | null;
}

/** Frames per turn. */
const TURN = 32;

export class Driver implements Role {
  readonly name = 'driver';
  readonly input = 0;
  busy = false;
  finished = false;

  readonly #cpu: PipelineCpu;
  readonly #frames: FrameMbufs;
  readonly #steering: Steering;
  readonly #protocols: readonly Outbox[];
  readonly #tapped: Outbox;
  readonly #linkTypes = new Set<number>();
  #cursor: PacketCursor | undefined;
  /** The file as a plain byte array: views of a Buffer cost several times as much. */
  #bytes: Uint8Array = new Uint8Array(0);
  #failure: DriverResult['failure'] = null;

  /** A file that cannot be opened is a result, not an exception: the others must end too. */
  constructor(cpu: PipelineCpu, path: string) {
    this.#cpu = cpu;
    this.#frames = new FrameMbufs(cpu.mbufs);
    const { control } = cpu;
    this.#steering = new Steering(control.protocols);
    this.#protocols = Array.from(
      { length: control.protocols },
      (_, protocol) => new Outbox(cpu, protocolRing(control, protocol)),
    );
    this.#tapped = new Outbox(cpu, tapRing(control));
    try {
      this.#cursor = openCaptureFile(path);
      const { buffer, byteOffset, length } = this.#cursor.bytes;
      this.#bytes = new Uint8Array(buffer, byteOffset, length);
    } catch (error) {
      this.#fail(error);
    }
  }

  poll(): boolean {
    try {
      for (let count = 0; count < TURN; count++) {
        if (this.#cursor?.next() !== true) {
          this.#end();
          break;
        }
        this.#forward(this.#cursor);
      }
    } catch (error) {
      this.#fail(error);
      this.#end();
    }
    this.#flush();
    return true;
  }

  result(): DriverResult {
    const cursor = this.#cursor;
    const linkTypes = this.#linkTypes.size > 0 ? this.#linkTypes : (cursor?.interfaces ?? []);
    return {
      frames: cursor?.packets ?? 0,
      linkTypes: [...linkTypes],
      truncatedAt: cursor?.truncated?.offset ?? null,
      failure: this.#failure,
    };
  }

  #forward(cursor: PacketCursor): void {
    const { dataOffset, capturedLength, linkType, packets: frame } = cursor;
    this.#linkTypes.add(linkType);
    const chain = this.#receive(dataOffset, capturedLength, frame);
    this.#tap(chain, capturedLength, frame);
    const steering = this.#steering;
    const target = steering.steerFrame(linkType, this.#bytes, dataOffset, capturedLength);
    const { fragment } = steering;
    const protocols = this.#protocols;
    protocols[target]!.send(chain, frame, linkType, Kind.frame);
    if (!fragment) return;
    protocols[target]!.flush();
    for (let protocol = 0; protocol < protocols.length; protocol++) {
      if (protocol !== target) protocols[protocol]!.send(NULL, frame, target, Kind.fence);
    }
  }

  #receive(offset: number, length: number, frame: number): Address {
    const bytes = this.#bytes;
    const chain = this.#frames.receive(bytes, offset, length, frame);
    if (chain !== NULL) return chain;
    this.#flush(); // what is held back here could be freed there
    return this.#cpu.retry<Address>(NULL, () => this.#frames.receive(bytes, offset, length, frame));
  }

  /** The tap's copy shares all external storage with the frame, which is read-only from here on. */
  #tap(chain: Address, length: number, frame: number): void {
    if (length === 0) return;
    const { mbufs } = this.#cpu;
    let copy = mbufs.copypacket(chain, M_NOWAIT);
    if (copy === NULL) {
      this.#flush();
      copy = this.#cpu.retry<Address>(NULL, () => mbufs.copypacket(chain, M_NOWAIT));
    }
    const sum = mbufs.checksumPartial(chain, 0, length);
    this.#tapped.send(copy, frame, sum, Kind.frame);
  }

  #end(): void {
    for (const protocol of this.#protocols) protocol.send(NULL, 0, 0, Kind.end);
    this.#tapped.send(NULL, 0, 0, Kind.end);
    this.finished = true;
  }

  #flush(): void {
    for (const protocol of this.#protocols) protocol.flush();
    this.#tapped.flush();
  }

  /** Notes that the file or a record cannot be right; throws again what is something else. */
  #fail(error: unknown): void {
    if (!(error instanceof CaptureError)) throw error;
    this.#failure = { offset: error.offset, message: error.message };
  }
}
