/**
 * One flat address space over every shared buffer a run touches.
 *
 * Each SharedArrayBuffer gets a base the first time it is seen in a run (buffers found in the
 * result of `setup` first, in order), aligned to 4096; an op's address is base + byte offset.
 * Invariant: within a run two accesses overlap in memory if and only if their flat ranges overlap,
 * provided no SharedArrayBuffer object is an alias of another (a grown WebAssembly.Memory gives a
 * new object for the same bytes: take its buffer once). Used by the machine only.
 */
import { BULK, NOTIFY, type Op, READ, VIEW_GET, VIEW_SET, WRITE } from './protocol.ts';

/** A shared buffer of the run. */
export interface BufferInfo {
  readonly buffer: SharedArrayBuffer;
  readonly base: number;
  /** Position in order of first sight. */
  readonly index: number;
}

interface ViewInfo {
  /** Flat address of element 0, or -1: not shared. */
  readonly origin: number;
  readonly elementSize: number;
}

/** A byte range that a bulk method reads or writes. */
export interface Range {
  readonly address: number;
  readonly size: number;
  readonly write: boolean;
}

const PAGE = 4096;
const NOT_SHARED: ViewInfo = { origin: -1, elementSize: 1 };

const VIEW_SIZE: Readonly<Record<string, number>> = {
  Int8: 1,
  Uint8: 1,
  Int16: 2,
  Uint16: 2,
  Float16: 2,
  Int32: 4,
  Uint32: 4,
  Float32: 4,
  BigInt64: 8,
  BigUint64: 8,
  Float64: 8,
};

function relative(argument: unknown, length: number, otherwise: number): number {
  if (argument === undefined) return otherwise;
  const n = Math.trunc(Number(argument)) || 0;
  return n < 0 ? Math.max(length + n, 0) : Math.min(n, length);
}

/** Bytes that a buffer takes in the address space, whatever it may grow to. */
function room(buffer: SharedArrayBuffer): number {
  const growable = (buffer as { maxByteLength?: number }).maxByteLength;
  return Math.ceil(((growable ?? buffer.byteLength) + 1) / PAGE) * PAGE;
}

/** Views of earlier runs that are remembered, at most. */
const VIEWS_KEPT = 1024;

/** Maps views to flat addresses; reset before every run. */
export class AddressSpace {
  readonly buffers: BufferInfo[] = [];
  readonly #views = new Map<object, ViewInfo>();
  readonly #byBuffer = new Map<object, BufferInfo>();
  #kept: number = 0;
  #next: number = PAGE;
  #lastView: object | null = null;
  #lastInfo: ViewInfo = NOT_SHARED;
  #olderView: object | null = null;
  #olderInfo: ViewInfo = NOT_SHARED;

  /** The buffers known now stay, at their places, through every reset. */
  keep(): void {
    this.#kept = this.buffers.length;
  }

  reset(): void {
    const { buffers } = this;
    if (buffers.length === this.#kept && this.#views.size <= VIEWS_KEPT) return;
    for (let i = this.#kept; i < buffers.length; i++) {
      this.#byBuffer.delete((buffers[i] as BufferInfo).buffer);
    }
    buffers.length = this.#kept;
    const last = buffers.at(-1);
    this.#next = last === undefined ? PAGE : last.base + room(last.buffer);
    this.#views.clear();
    this.#lastView = null;
    this.#olderView = null;
  }

  /** Gives a buffer its place now; later ones follow it. */
  register(buffer: SharedArrayBuffer): BufferInfo {
    let info = this.#byBuffer.get(buffer);
    if (info === undefined) {
      info = { buffer, base: this.#next, index: this.buffers.length };
      this.#next += room(buffer);
      this.buffers.push(info);
      this.#byBuffer.set(buffer, info);
    }
    return info;
  }

  /** The buffer that holds a flat address, for reports. */
  bufferAt(address: number): BufferInfo | undefined {
    for (let i = this.buffers.length - 1; i >= 0; i--) {
      const info = this.buffers[i] as BufferInfo;
      if (info.base <= address) return info;
    }
    return undefined;
  }

  /** Registers the shared buffers reachable from a set-up result, two levels deep, in key order. */
  scan(value: unknown, depth: number = 2): void {
    if (typeof value !== 'object' || value === null) return;
    if (value instanceof SharedArrayBuffer) {
      this.register(value);
    } else if (ArrayBuffer.isView(value)) {
      if (value.buffer instanceof SharedArrayBuffer) this.register(value.buffer);
    } else if (value instanceof WebAssembly.Memory) {
      const { buffer } = value;
      if ((buffer as unknown) instanceof SharedArrayBuffer) {
        this.register(buffer as unknown as SharedArrayBuffer);
      }
    } else if (depth > 0) {
      for (const key of Object.keys(value)) {
        this.scan((value as Record<string, unknown>)[key], depth - 1);
      }
    }
  }

  #info(view: any): ViewInfo {
    if (view === this.#lastView) return this.#lastInfo;
    if (view === this.#olderView) return this.#olderInfo;
    let info = this.#views.get(view);
    if (info === undefined) {
      info = NOT_SHARED;
      if (ArrayBuffer.isView(view) && (view.buffer as unknown) instanceof SharedArrayBuffer) {
        const { base } = this.register(view.buffer as unknown as SharedArrayBuffer);
        const elementSize = (view as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1;
        info = { origin: base + view.byteOffset, elementSize };
      }
      if (typeof view === 'object' && view !== null) this.#views.set(view, info);
    }
    this.#olderView = this.#lastView;
    this.#olderInfo = this.#lastInfo;
    this.#lastView = view;
    this.#lastInfo = info;
    return info;
  }

  /** Sets `address` and `size` of an op; address -1 when it touches no shared memory. */
  resolve(op: Op): void {
    const { kind } = op;
    if (kind <= NOTIFY || kind === READ || kind === WRITE) {
      const info = this.#info(op.target);
      if (info.origin < 0) {
        op.address = -1;
        return;
      }
      const { index } = op;
      // Out of range or not an index: the real operation throws or does nothing.
      if (typeof index === 'number' && index >= 0 && index < op.target.length) {
        op.address = info.origin + index * info.elementSize;
      } else {
        const n = Number(index);
        const inside = Number.isInteger(n) && n >= 0 && n < op.target.length;
        op.address = inside ? info.origin + n * info.elementSize : -1;
      }
      op.size = info.elementSize;
    } else if (kind === VIEW_GET || kind === VIEW_SET) {
      const info = this.#info(op.target);
      const size = VIEW_SIZE[op.method.slice(3)];
      const offset = Math.trunc(Number(op.args[0] ?? 0)) || 0;
      const inside =
        info.origin >= 0 &&
        size !== undefined &&
        offset >= 0 &&
        offset + size <= op.target.byteLength;
      op.address = inside ? info.origin + offset : -1;
      op.size = size ?? 0;
    } else if (kind === BULK) {
      const ranges = this.ranges(op);
      op.address = ranges.length > 0 ? (ranges[0] as Range).address : -1;
      op.size = ranges.length > 0 ? (ranges[0] as Range).size : 0;
    } else {
      op.address = -1;
    }
  }

  /** What a bulk op reads and writes. Allocates: bulk ops are rare. */
  ranges(op: Op): Range[] {
    const { target, method, args } = op;
    const found: Range[] = [];
    const push = (view: any, from: number, to: number, write: boolean): void => {
      const info = this.#info(view);
      if (info.origin < 0 || to <= from) return;
      const { elementSize: e, origin } = info;
      found.push({ address: origin + from * e, size: (to - from) * e, write });
    };
    const length: number = target?.length ?? 0;
    if (method === 'fill') {
      push(target, relative(args[1], length, 0), relative(args[2], length, length), true);
    } else if (method === 'set') {
      const offset = Math.trunc(Number(args[1] ?? 0)) || 0;
      const count: number = args[0]?.length ?? 0;
      push(target, offset, Math.min(offset + count, length), true);
      if (ArrayBuffer.isView(args[0])) push(args[0], 0, count, false);
    } else if (method === 'copyWithin') {
      const to = relative(args[0], length, 0);
      const from = relative(args[1], length, 0);
      const end = relative(args[2], length, length);
      const count = Math.max(0, Math.min(end - from, length - to));
      push(target, to, to + count, true);
      push(target, from, from + count, false);
    } else if (method === 'slice') {
      push(target, relative(args[0], length, 0), relative(args[1], length, length), false);
    } else if (method === 'reverse' || method === 'sort') {
      push(target, 0, length, true);
      push(target, 0, length, false);
    } else if (method !== 'subarray') {
      push(target, 0, length, false);
    }
    return found;
  }
}
