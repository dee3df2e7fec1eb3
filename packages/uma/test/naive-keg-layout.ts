/**
 * Slab layouts by search, written from the prose of the specification and sharing no code with
 * `keg-layout.ts`: items are laid down one number after another until they physically fit, and
 * fractions are long division bit by bit. Slow on purpose; only tests call it.
 */

const page = 4096;
const flag = {
  contig: 0x4,
  notouch: 0x8,
  malloc: 0x10,
  vm: 0x80,
  notpage: 0x100,
  spread: 0x2000,
  pcpu: 0x8000,
  internal: 0x20000000,
};

export interface NaiveInput {
  size: number;
  alignMask: number;
  flags: number;
  cpus: number;
  invariants: boolean;
  multipageSlabs: boolean;
}

/** Header bytes by counting 64-bit words until every item has a bit. */
function headerBytes(base: number, items: number, invariants: boolean): number {
  let words = 0;
  while (words * 64 < items) words++;
  return base + words * 8 + (invariants ? words * 8 : 0);
}

function pagesFor(bytes: number): number {
  let pages = Math.trunc(bytes / page);
  if (pages * page < bytes) pages++;
  return pages;
}

/** n / d with 31 binary digits behind the point. */
function fraction(n: number, d: number): bigint {
  let result = 0n;
  let rest = n;
  let whole = 0n;
  while (rest >= d) {
    rest -= d;
    whole++;
  }
  for (let digit = 0; digit < 31; digit++) {
    rest *= 2;
    result *= 2n;
    if (rest >= d) {
      rest -= d;
      result++;
    }
  }
  return (whole << 31n) + result;
}

export function naiveKegLayout(input: NaiveInput): {
  rsize: number;
  ipers: number;
  ppera: number;
  format: string;
  lookup: string;
  pgoff: number;
  efficiency: number;
  slabBytes: number;
} {
  const { size, flags, cpus, invariants } = input;
  const align = input.alignMask + 1;
  const has = (bit: number): boolean => (flags & bit) !== 0;

  let rsize = size < 8 ? 8 : size;
  while (rsize % align !== 0) rsize++;
  let least = size;
  if (has(flag.spread)) {
    if (Math.trunc(rsize / align) % 2 === 0) rsize += align;
    least = [(rsize / align) * page, rsize * 512, 128 * 1024].sort((a, b) => a - b)[0]!;
  }
  const unit = rsize > page ? rsize : page;
  let step = 1;
  while ((step + 1) * unit <= pagesFor(least) * page + rsize - size) step++;

  const enough = fraction(90, 100);
  let best = { format: '', ipers: 0, pages: 0, efficiency: 0n };
  for (;;) {
    const pages = rsize <= page ? step : pagesFor((step - 1) * rsize + size);
    const formats: string[] = [];
    if (!has(flag.notouch) && !has(flag.pcpu)) formats.push('inline');
    formats.push(has(flag.internal) || has(flag.vm) ? 'internal' : 'offpage');
    for (const format of formats) {
      if (best.efficiency >= enough) continue;
      if (format === 'internal' && best.ipers > 0) continue;
      const own = format === 'internal' ? pages + 1 : pages;
      // The last byte of the last item is at (n - 1) * rsize + size - 1; the header comes after.
      let n = 512;
      while (n > 0) {
        const end = (n - 1) * rsize + size;
        const header = format === 'offpage' ? 0 : headerBytes(24, n, invariants);
        if (end + header <= own * page) break;
        n--;
      }
      let paid = own * page;
      if (format === 'offpage') paid += headerBytes(48, n > 256 ? 512 : 256, invariants);
      const efficiency = fraction(n * rsize, paid);
      if (efficiency > best.efficiency) best = { format, ipers: n, pages: own, efficiency };
    }
    if (best.efficiency >= enough) break;
    if (!input.multipageSlabs) break;
    if (pages * page >= 512 * rsize) break;
    if (has(flag.pcpu) || has(flag.contig)) break;
    step++;
  }

  const ppera = has(flag.pcpu) ? best.pages * cpus : best.pages;
  let lookup = 'page-mask';
  const firstPageOnly = (best.ipers - 1) * rsize < page;
  if (best.format === 'offpage' || !firstPageOnly) lookup = has(flag.notpage) ? 'hash' : 'vtoslab';
  if (has(flag.malloc)) lookup = 'vtoslab';
  const header = headerBytes(24, best.ipers, invariants);
  return {
    rsize,
    ipers: best.ipers,
    ppera,
    format: best.format,
    lookup,
    pgoff: best.format === 'offpage' ? 0 : ppera * page - header,
    efficiency: Number(best.efficiency),
    slabBytes: ppera * page,
  };
}
