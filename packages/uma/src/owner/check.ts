/**
 * The conservation law of owners of items, for fsck, so at rest: what an owner has claimed and not
 * released is the live items that name it, and a free item names nobody.
 */

import { PAGE_SHIFT, PageEntry } from '@umbuf/memory';
import { allOwners, ownerName, readOwnerCounters, revokedOwner } from '@umbuf/tracing';
import { ItemEntry, KegRecord, SlabHeader } from '../layout.ts';
import type { UmaView } from '../statistics/view.ts';
import { walkItems } from './walk.ts';

const OWNER = ItemEntry.fields.owner.at;

/** What is broken, in words; invariant 15 of fsck. */
export function ownerViolations(view: UmaView): string[] {
  const { arena } = view;
  const owners = allOwners(arena);
  if (owners.length === 0) return [];
  const held = new Map<number, number>();
  walkItems(view, 0, 0, ({ owner }) => {
    held.set(owner, (held.get(owner) ?? 0) + 1);
  });
  const violations: string[] = [];
  const named = new Set<number>(owners);
  for (const owner of held.keys()) {
    if (owner !== 0 && !named.has(owner)) violations.push(`15: items name ${owner}, no owner`);
  }
  for (const owner of owners) {
    const { itemClaims, itemReleases } = readOwnerCounters(arena, owner);
    const items = held.get(owner) ?? 0;
    if (itemClaims - itemReleases === BigInt(items)) continue;
    const { name, description } = ownerName(arena, owner);
    violations.push(
      `15: owner ${name}.${description}: ${itemClaims} items claimed and ${itemReleases} released, ${items} live`,
    );
  }
  return [...violations, ...freeOnes(view)];
}

/** Free items that name an owner. */
function freeOnes({ arena, words }: UmaView): string[] {
  const revoked = revokedOwner(arena);
  const violations: string[] = [];
  for (let page = arena.firstPage; page < arena.pages; page++) {
    const entry = arena.pageTable + page * PageEntry.words;
    const keg = words[entry + PageEntry.fields.keg.at]! >> 2;
    const slab = words[entry + PageEntry.fields.slab.at]! >> 2;
    if (keg === 0 || words[slab + SlabHeader.fields.data.at] !== page << PAGE_SHIFT) continue;
    const table = words[slab + SlabHeader.fields.table.at]! >> 2;
    if (table === 0) continue;
    for (let index = 0; index < words[keg + KegRecord.fields.ipers.at]!; index++) {
      const item = table + index * ItemEntry.words;
      const owner = words[item + OWNER]!;
      if ((words[item]! & 1) === 0 && owner !== 0 && owner !== revoked) {
        violations.push(
          `15: item ${index} of the slab at page ${page} is free, and ${owner} owns it`,
        );
      }
    }
  }
  return violations;
}
