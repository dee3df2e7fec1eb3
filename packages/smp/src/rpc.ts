/**
 * The control plane between the main thread and one CPU: comlink over a MessagePort of its own.
 * The only import of comlink.
 *
 * A round trip costs some 60 us: for booting, starting tasks, snapshots and shutdown, never for
 * data. Shared memory travels as a plain argument (in a transfer list it throws), and arrives as
 * another object over the same bytes. A call to a thread that dies never settles: whoever calls
 * races it with the thread's end (life.ts). The endpoint is our own, because comlink's Node
 * adapter has no types; connections end by closing the port, because `releaseProxy` of comlink
 * 4.4.2 gives nothing to wait for.
 */

import type { MessagePort } from 'node:worker_threads';
import { type Endpoint, expose, wrap } from 'comlink';

/** What a CPU says when it has booted. */
export interface BootReport {
  readonly number: number;
  readonly incarnation: number;
  readonly threadId: number;
  /** Names of the tasks that its modules export. */
  readonly tasks: readonly string[];
}

/** What only the worker itself can tell. */
export interface WorkerSnapshot {
  /** Tasks begun and not ended. */
  readonly running: number;
  /** JavaScript heap of the worker, bytes. */
  readonly heapUsed: number;
  readonly heapTotal: number;
  /** Seconds since the worker booted. */
  readonly uptime: number;
}

/** What a CPU answers (cpu-entry.ts). A worker in a synchronous loop or wait answers after it. */
export interface CpuControl {
  boot(): Promise<BootReport>;
  run(task: string, argument: unknown): Promise<unknown>;
  snapshot(): Promise<WorkerSnapshot>;
  /** Waits for running tasks, releases the CPU number, then ends the thread's service. */
  shutdown(): Promise<void>;
}

/** Answers calls that come through `port`. */
export function exposeControl(control: CpuControl, port: MessagePort): void {
  expose(control, portEndpoint(port));
}

/** The other side. Keep the result for as long as the CPU lives; never `await` it itself. */
export function wrapControl(port: MessagePort): CpuControl {
  return wrap<CpuControl>(portEndpoint(port)) as unknown as CpuControl;
}

type Listener = (message: unknown) => void;

/** Node's MessagePort (an EventEmitter) as comlink's Endpoint (an EventTarget). */
function portEndpoint(port: MessagePort): Endpoint {
  const listeners = new Map<EventListenerOrEventListenerObject, Listener>();
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer as never),
    addEventListener: (_type, handler) => {
      const listener: Listener = (data) => {
        const event = { data } as MessageEvent;
        if (typeof handler === 'function') handler(event);
        else handler.handleEvent(event);
      };
      listeners.set(handler, listener);
      port.on('message', listener);
    },
    removeEventListener: (_type, handler) => {
      const listener = listeners.get(handler);
      if (listener !== undefined) port.off('message', listener);
      listeners.delete(handler);
    },
    start: () => port.start(),
  };
}
