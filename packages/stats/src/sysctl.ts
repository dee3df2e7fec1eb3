/**
 * The sysctl tree (sysctl(3), sysctl(9)): typed nodes by path. A tree is an ordinary object of one
 * thread and holds how to read, never a value; what it reads is in the arena. The layers add their
 * nodes, or give a function that names them anew at each look (zones come and go).
 *
 * Errors are the kernel's, in its order: ENOENT, EISDIR, EPERM, EINVAL; ENOMEM when a value does not
 * fit the caller's buffer. Each is thrown with nothing changed.
 */

import { ArgumentError, UmbufError } from '@umbuf/memory';
import type { Statistic } from './registry.ts';
import { decodeSysctl, encodeSysctl, type SysctlType, type SysctlValue } from './sysctl-value.ts';

export type SysctlErrno = 'EPERM' | 'ENOENT' | 'ENOMEM' | 'EISDIR' | 'EINVAL';

/** FreeBSD's error numbers. */
export const SYSCTL_ERRNO: Readonly<Record<SysctlErrno, number>> = {
  EPERM: 1,
  ENOENT: 2,
  ENOMEM: 12,
  EISDIR: 21,
  EINVAL: 22,
};

/** What a sysctl call fails with. */
export class SysctlError extends UmbufError {
  override name = 'SysctlError';
  readonly code: SysctlErrno;
  readonly errno: number;
  /** With ENOMEM: bytes that the value has. */
  readonly needed: number;

  constructor(code: SysctlErrno, message: string, needed: number = 0) {
    super(message);
    this.code = code;
    this.errno = SYSCTL_ERRNO[code];
    this.needed = needed;
  }
}

export interface SysctlNode {
  /** `vm.uma.<zone>.stats.allocs`. */
  readonly path: string;
  readonly type: SysctlType;
  readonly description: string;
  /** It only grows, so that two reads can be subtracted. */
  readonly counter?: boolean;
  /** It counts ends (see Statistic.readFirst). */
  readonly readFirst?: boolean;
  readonly read: () => SysctlValue;
  /**
   * Takes a new value of the node's type. Absent: the node is read-only. Refuses a value with
   * `SysctlError` EINVAL, before anything has changed.
   */
  readonly write?: (value: SysctlValue) => void;
}

const PATH = /^[^.\s]+(\.[^.\s]+)*$/;

interface Source {
  readonly prefix: string;
  /** Whether it is one value, with nothing below it. */
  readonly value: boolean;
  readonly nodes: () => Iterable<SysctlNode>;
}

export class SysctlTree {
  readonly #sources: Source[] = [];

  /**
   * Adds a node (`SYSCTL_ADD_*`). Throws `ArgumentError` when its path is bad, taken, or below that
   * of a value.
   */
  add(node: SysctlNode): void {
    if (!PATH.test(node.path)) throw new ArgumentError(`sysctl: bad path '${node.path}'`);
    if (this.#nodes(node.path).length > 0) {
      throw new ArgumentError(`sysctl: ${node.path} exists already`);
    }
    const above = this.#sources.find(
      ({ value, prefix }) => value && isAtOrBelow(node.path, prefix),
    );
    if (above !== undefined) {
      throw new ArgumentError(`sysctl: ${node.path} is below ${above.prefix}, which is a value`);
    }
    this.#sources.push({ prefix: node.path, value: true, nodes: () => [node] });
  }

  /** Adds what `nodes` names, at each look anew; all of it lies below `prefix`. */
  provide(prefix: string, nodes: () => Iterable<SysctlNode>): void {
    if (!PATH.test(prefix)) throw new ArgumentError(`sysctl: bad path '${prefix}'`);
    this.#sources.push({ prefix, value: false, nodes });
  }

  /** The node at exactly this path. Throws ENOENT, or EISDIR for a path with nodes below it. */
  find(path: string): SysctlNode {
    const nodes = this.#nodes(path);
    const node = nodes.find((each) => each.path === path);
    if (node !== undefined) return node;
    if (nodes.length > 0) throw new SysctlError('EISDIR', `sysctl: ${path} is a node, no value`);
    throw new SysctlError('ENOENT', `sysctl: unknown oid '${path}'`);
  }

  /**
   * The nodes at and below `path` (all when empty), in the kernel's order: children in the order in
   * which they were added, each with all that is below it. Throws ENOENT when there is none.
   */
  list(path: string = ''): SysctlNode[] {
    const nodes = this.#nodes(path);
    if (nodes.length === 0 && path !== '') {
      throw new SysctlError('ENOENT', `sysctl: unknown oid '${path}'`);
    }
    const root: Branch = { children: new Map() };
    for (const node of nodes) {
      let branch = root;
      for (const part of node.path.split('.')) {
        const next: Branch = branch.children.get(part) ?? { children: new Map() };
        branch.children.set(part, next);
        branch = next;
      }
      branch.node ??= node;
    }
    return leavesOf(root);
  }

  /** The value as a JavaScript value. Throws ENOENT or EISDIR. */
  value(path: string): SysctlValue {
    return this.find(path).read();
  }

  /**
   * sysctl(3) with an old buffer: copies the value out and returns its length in bytes. Without a
   * buffer it returns what would be needed. A buffer that is too short is filled with the value's
   * beginning, and ENOMEM is thrown, with `needed`.
   */
  get(path: string, old?: Uint8Array): number {
    const { type, read } = this.find(path);
    const bytes = encodeSysctl(type, read());
    if (old === undefined) return bytes.length;
    old.set(bytes.subarray(0, old.length));
    if (old.length < bytes.length) {
      const text = `sysctl: ${path} has ${bytes.length} bytes, the buffer ${old.length}`;
      throw new SysctlError('ENOMEM', text, bytes.length);
    }
    return bytes.length;
  }

  /**
   * sysctl(3) with a new value, in the bytes of the node's type. Throws ENOENT, EISDIR, EPERM for a
   * node that is read-only, EINVAL for a wrong number of bytes or a value that the node refuses.
   */
  set(path: string, bytes: Uint8Array): void {
    const node = this.find(path);
    if (node.write === undefined) {
      throw new SysctlError('EPERM', `sysctl: ${path} is read-only`);
    }
    const value = decodeSysctl(node.type, bytes);
    if (value === undefined) {
      throw new SysctlError('EINVAL', `sysctl: ${path}: ${bytes.length} bytes are no ${node.type}`);
    }
    node.write(value);
  }

  /** Nodes at and below the path, each path once: the first that was added. */
  #nodes(path: string): SysctlNode[] {
    const found = new Map<string, SysctlNode>();
    for (const { prefix, nodes } of this.#sources) {
      if (!isAtOrBelow(prefix, path) && !isAtOrBelow(path, prefix)) continue;
      for (const node of nodes()) {
        if (isAtOrBelow(node.path, path) && !found.has(node.path)) found.set(node.path, node);
      }
    }
    return [...found.values()];
  }
}

/** The tree's values as statistics, for a `StatisticRegistry`. Opaque nodes are left out. */
export function sysctlStatistics(tree: SysctlTree): Statistic[] {
  const statistics: Statistic[] = [];
  for (const { path, description, counter, read, type, readFirst = false } of tree.list()) {
    if (type === 'opaque') continue;
    const kind = counter === true ? 'counter' : type === 'string' ? 'text' : 'gauge';
    statistics.push({ path, description, kind, readFirst, read: read as Statistic['read'] });
  }
  return statistics;
}

interface Branch {
  node?: SysctlNode;
  readonly children: Map<string, Branch>;
}

function leavesOf(branch: Branch): SysctlNode[] {
  const below = [...branch.children.values()].flatMap(leavesOf);
  return branch.node === undefined ? below : [branch.node, ...below];
}

/** Whether `path` is `above` or lies below it; everything lies below the empty path. */
export function isAtOrBelow(path: string, above: string): boolean {
  return above === '' || path === above || path.startsWith(`${above}.`);
}
