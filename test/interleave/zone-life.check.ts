/**
 * Zones that come and go: two CPUs create, open and destroy at once, while items are out and cached; with
 * deaths. What a thread has open is JavaScript, which the explorer does not restore: `setup` begins each
 * run with new Zone objects.
 */
import { check } from '@umbuf/interleave/vitest';
import { leaveCpu, markDead, recover } from '@umbuf/memory';
import {
  defineZone,
  M_NOWAIT,
  UmaRoot,
  type Zone,
  ZoneDestroyedError,
  ZoneFlag,
  ZoneState,
  zoneState,
} from '@umbuf/uma';
import { areHandsEmpty, BUDGET_MS, type Machine } from './support/arena.ts';
import { leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const Z = defineZone({ name: 'z', size: 1024, flags: ZoneFlag.NOBUCKET });
const CACHED = defineZone({ ...Z, flags: 0 });
const NEXT = defineZone({ name: 'next', size: 2048, flags: ZoneFlag.NOBUCKET });

const LAST = defineZone({ ...NEXT, name: 'last' });

interface Context extends ZoneMachine {
  readonly seen: string[];
  readonly items: number[];
}

/** Fresh Zone objects, as threads would have that opened the zone just now. */
function fresh(made: ZoneMachine): Context {
  const zones: Zone[] = [];
  for (const { uma, definition } of made.zones) {
    uma.opened.length = 0;
    zones.push(uma.open(definition));
    leaveCpu(uma.cpu);
  }
  return { ...made, zones, seen: [], items: [] };
}

/** Records of zones that users made. */
function userZones({ zones }: Context): number[] {
  const { uma } = zones[0]!;
  const found: number[] = [];
  for (
    let id = uma.slabZones.length + uma.tableZones.length + uma.bucketZones.length;
    id < uma.zoneCount();
    id++
  ) {
    found.push(uma.zoneAt(id));
  }
  return found;
}

/** Empty hands and a clean fsck. */
function isWhole(c: Context): boolean {
  if (!areHandsEmpty(c)) return false;
  const { violations } = c.inspect();
  if (violations.length > 0) throw new Error(violations.join('; '));
  return true;
}

function lostPages({ zones }: Context): number {
  const { uma } = zones[0]!;
  return uma.words[uma.root + UmaRoot.fields.lostPages.at]!;
}

/** Runs what may meet a destroyed zone. */
function attempt(c: Context, what: string, operation: () => void): void {
  try {
    operation();
    c.seen.push(what);
  } catch (error) {
    if (!(error instanceof ZoneDestroyedError)) throw error;
    c.seen.push(`${what} refused`);
  }
}

const opens = new ArenaWords();
check(
  'zone life: two CPUs open a zone that nobody has made',
  {
    prepare: () => zoneMachine(opens, 2, Z),
    setup: fresh,
    cpus: {
      a: (c: Context) => {
        const zone = c.zones[0]!.uma.open(NEXT);
        c.items[0] = zone.alloc(M_NOWAIT);
        leave(c, 0);
      },
      b: (c: Context) => {
        const zone = c.zones[1]!.uma.open(NEXT);
        c.items[1] = zone.alloc(M_NOWAIT);
        leave(c, 1);
      },
    },
    final: (c) =>
      isWhole(c) && userZones(c).length === 2 && c.items[0] !== c.items[1] && c.items[0] !== 0,
    words: opens.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const meets = new ArenaWords();
check(
  'zone life: destroyed by one CPU, allocated from and opened again by another',
  {
    prepare: () => zoneMachine(meets, 2, Z),
    setup: fresh,
    cpus: {
      destroys: (c: Context) => {
        c.seen.push(c.zones[0]!.destroy({ answerMs: 0 }).complete ? 'complete' : 'held up');
        leave(c, 0);
      },
      uses: (c: Context) => {
        attempt(c, 'alloc', () => {
          c.items[0] = c.zones[1]!.alloc(M_NOWAIT);
          c.zones[1]!.uma.words[c.items[0] >> 2] = 7;
        });
        const zone = c.zones[1]!.uma.open(Z);
        attempt(c, 'second alloc', () => {
          c.items[1] = zone.alloc(M_NOWAIT);
          c.zones[1]!.uma.words[c.items[1] >> 2] = 8;
        });
        // Whoever has the memory of the first, it is not who got the second.
        if (c.items[0] !== undefined && c.zones[1]!.uma.words[c.items[0] >> 2] !== 7) {
          throw new Error('an item of the destroyed zone was given out again');
        }
        leave(c, 1);
      },
    },
    final: (c) => isWhole(c) && c.items[1] !== 0 && c.items[0] !== 0,
    reachable: {
      'refused, and a new zone': (c) =>
        c.seen.includes('alloc refused') && userZones(c).length === 2,
      'an item was lost': (c) => lostPages(c) > 0,
      'the destroyer was held up': (c) => c.seen.includes('held up'),
    },
    words: meets.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const reuses = new ArenaWords();
check(
  'zone life: a record serves again only when the other CPU has let go of it',
  {
    prepare: () => zoneMachine(reuses, 2, CACHED),
    setup: fresh,
    cpus: {
      destroys: (c: Context) => {
        c.seen.push(c.zones[0]!.destroy({ answerMs: 0 }).complete ? 'complete' : 'held up');
        const zone = c.zones[0]!.uma.open(NEXT);
        c.items[0] = zone.alloc(M_NOWAIT);
        leave(c, 0);
      },
      uses: [
        (c: Context) => {
          attempt(c, 'pair', () => c.zones[1]!.free(c.zones[1]!.alloc(M_NOWAIT)));
          leave(c, 1);
        },
        (c: Context) => {
          attempt(c, 'second', () => {
            c.items[1] = c.zones[1]!.alloc(M_NOWAIT);
          });
          leave(c, 1);
        },
      ],
    },
    final: (c) => {
      // Once refused, always refused: whatever the record is by then.
      if (c.seen.includes('pair refused') && c.seen.includes('second')) return false;
      return isWhole(c) && c.items[0] !== 0 && c.items[0] !== c.items[1];
    },
    reachable: {
      'in a record of its own': (c) => userZones(c).length === 2,
      'in the old record': (c) => userZones(c).length === 1,
    },
    words: reuses.lookup,
  },
  { budgetMs: BUDGET_MS },
);

/** What a supervisor does after an exit event, on the last CPU, until it is done. */
function supervise(made: Machine, dead: number): void {
  const supervisor = made.cpus.at(-1)!;
  const { incarnation } = made.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

const deaths = new ArenaWords();
check(
  'death: of one that destroys a zone while another frees to it; the next open finishes',
  {
    prepare: () => zoneMachine(deaths, 3, CACHED),
    setup: (made: ZoneMachine) => {
      const c = fresh(made);
      c.items.push(c.zones[1]!.alloc(M_NOWAIT), c.zones[1]!.alloc(M_NOWAIT));
      leaveCpu(c.zones[1]!.uma.cpu);
      return c;
    },
    cpus: {
      victim: (c: Context) => {
        c.seen.push(c.zones[0]!.destroy({ answerMs: 0 }).complete ? 'complete' : 'held up');
        leave(c, 0);
      },
      other: (c: Context) => {
        attempt(c, 'free', () => c.zones[1]!.free(c.items[0]!));
        leave(c, 1);
      },
    },
    onDeath: (c, dead) => {
      supervise(c, dead === 'victim' ? 0 : 1);
      c.zones[2]!.uma.open(NEXT);
      leave(c, 2);
    },
    final: (c, { dead }) => {
      if (!dead.includes('victim')) return isWhole(c);
      // It may have met the other CPU in the middle of its job; now nobody is.
      c.zones[2]!.uma.open(LAST);
      leave(c, 2);
      // Who dies before the first step has destroyed nothing; a zone that is dying is finished.
      const state = zoneState(c.zones[2]!.uma, c.zones[2]!.record);
      return isWhole(c) && state !== ZoneState.dying;
    },
    reachable: {
      'the zone was destroyed': (c) =>
        zoneState(c.zones[2]!.uma, userZones(c)[0]!) === ZoneState.dead,
    },
    words: deaths.lookup,
  },
  { budgetMs: BUDGET_MS, crash: 'interrupt-points' },
);
