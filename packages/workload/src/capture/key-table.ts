/**
 * A hash table from keys of flow-key.ts to entries. A lookup that hits allocates nothing: the
 * probe is the caller's reusable key, compared by words, and only `insert` copies it.
 */

import { hashKey } from './flow-key.ts';

interface Node<Entry> {
  readonly key: Int32Array;
  entry: Entry;
  next: Node<Entry> | undefined;
}

export class KeyTable<Entry> {
  readonly #heads = new Map<number, Node<Entry>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(key: Int32Array): Entry | undefined {
    let node = this.#heads.get(hashKey(key));
    while (node !== undefined && !sameKey(node.key, key)) node = node.next;
    return node?.entry;
  }

  /** Stores the entry under a copy of the key, in place of any that is there. Returns the copy. */
  insert(key: Int32Array, entry: Entry): Int32Array {
    this.remove(key);
    const hash = hashKey(key);
    const node: Node<Entry> = { key: key.slice(), entry, next: this.#heads.get(hash) };
    this.#heads.set(hash, node);
    this.#size++;
    return node.key;
  }

  /** True where the key was there. */
  remove(key: Int32Array): boolean {
    const hash = hashKey(key);
    let previous: Node<Entry> | undefined;
    let node = this.#heads.get(hash);
    while (node !== undefined && !sameKey(node.key, key)) {
      previous = node;
      node = node.next;
    }
    if (node === undefined) return false;
    if (previous !== undefined) previous.next = node.next;
    else if (node.next !== undefined) this.#heads.set(hash, node.next);
    else this.#heads.delete(hash);
    this.#size--;
    return true;
  }

  /** Calls `visit` with each entry, in no particular order. */
  forEach(visit: (entry: Entry) => void): void {
    for (const head of this.#heads.values()) {
      for (let node: Node<Entry> | undefined = head; node !== undefined; node = node.next) {
        visit(node.entry);
      }
    }
  }

  clear(): void {
    this.#heads.clear();
    this.#size = 0;
  }
}

function sameKey(one: Int32Array, other: Int32Array): boolean {
  for (let word = 0; word < one.length; word++) if (one[word] !== other[word]) return false;
  return true;
}
