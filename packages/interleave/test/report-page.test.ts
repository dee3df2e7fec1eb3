/**
 * The page to step through a failing run, without a browser: what it is made of, that it asks for
 * nothing else, that no source can break out of it, its contrasts, and its script on a document of
 * a few lines.
 */
import { createContext, runInContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { check } from '../src/index.ts';
import { COLOURS } from '../src/report/page/style.ts';
import { compile, evaluate } from './transform-harness.ts';

const SOURCE = `export function a(m) {
  Atomics.store(m, 0, '</script><img src=x>'.length);
  m.fill(3, 1);
}
export function b(m) {
  Atomics.add(m, 0, 1);
}`;

const { a, b } = evaluate(compile(SOURCE).code);
const report = check(
  'a </title><b>name</b>',
  {
    setup: () => new Int32Array(new SharedArrayBuffer(12)),
    cpus: { a: a as () => void, b: b as () => void },
    final: () => false,
    words: { 0: 'head', 4: '<tail>' },
  },
  { replay: '0x9.1x9', race: false },
);
const page = report.html((file) => (file === '/test/source.js' ? SOURCE : undefined));

/** The elements of the page by tag, as a parser that knows of scripts would see them. */
function elements(html: string): string[] {
  const bare = html
    .replace(/<script[^>]*>[\s\S]*?<\/script>/g, '<script>')
    .replace(/<style>[\s\S]*?<\/style>/g, '<style>');
  return [...bare.matchAll(/<(\w+)[^>]*>/g)].map(([, tag]) => tag!);
}

describe('the page', () => {
  test('asks for nothing: no address, no import, nothing to fetch', () => {
    expect(page).not.toMatch(/\b(src|href|srcset|action)\s*=\s*["']?(?!x>)/);
    expect(page).not.toMatch(/@import|url\(|https?:|fetch\(|import\(|XMLHttpRequest|<link|<iframe/);
  });

  test('is not broken by names and sources that look like markup', () => {
    expect(elements(page)).not.toContain('b');
    expect(elements(page)).not.toContain('img');
    expect(page.match(/<\/script>/g)).toHaveLength(2);
    expect(page.match(/<\/title>/g)).toHaveLength(1);
    expect(page).toContain('&#60;tail&#62;');
    expect(dataOf(page).sources).toEqual({ '/test/source.js': SOURCE });
  });

  test('has a row for each event, in the lane of its CPU', () => {
    const rows = [...page.matchAll(/<tr><td class="step">(\d+)<\/td>(.*)<\/tr>/g)];
    expect(rows.map(([, , cells]) => cells!.replace(/<[^>]*>/g, '|').replace(/\|+/g, '|'))).toEqual(
      [
        '|store head 0 → 20 |source.js:2|',
        '|fill &#60;tail&#62; 0 → 3, 1 more |source.js:3|',
        '|add head 20 → 21 |source.js:6|',
      ],
    );
    expect(rows[2]![2]).toMatch(/^<td><\/td><td data-cpu="b">/);
  });

  test('fits a narrow window: it says so, and nothing in it has a width of its own', () => {
    expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)![1]!;
    expect(style).not.toMatch(/nowrap|min-width:\s*\d|[^-]width:\s*\d{3,}px/);
    expect(style).toContain('table-layout: fixed');
  });

  test('a report without a run is its text', () => {
    const good = check(
      'good',
      { setup: () => new Int32Array(new SharedArrayBuffer(12)), cpus: { a: a as () => void } },
      { budgetMs: 50 },
    );
    expect(good.html()).toContain('ok: good');
    expect(good.html()).not.toContain('<script');
  });
});

describe('contrast of at least 4.5 to 1 (WCAG AA)', () => {
  // Which text stands on which background.
  const pairs = [
    ['text', 'behind'],
    ['text', 'panelBehind'],
    ['text', 'nowBehind'],
    ['later', 'behind'],
    ['later', 'panelBehind'],
    ['changed', 'behind'],
  ];
  for (const scheme of ['light', 'dark'] as const) {
    for (const [text, behind] of pairs) {
      test(`${text} on ${behind}, ${scheme}`, () => {
        const colours = COLOURS[scheme];
        expect(contrast(colours[text!]!, colours[behind!]!)).toBeGreaterThanOrEqual(4.5);
      });
    }
  }
  test('black on white is 21', () => expect(contrast('#000000', '#ffffff')).toBeCloseTo(21));
});

describe('its script', () => {
  test('steps by keys and buttons over events, source lines and values', () => {
    const document = run(page);
    expect(document.shown()).toEqual({
      position: '1 of 3',
      current: 0,
      where: '/test/source.js:2 in a',
      source: "2    Atomics.store(m, 0, '</script><img src=x>'.length);",
      words: ['head: 0 → 20'],
    });
    document.key('ArrowDown');
    expect(document.shown().words).toEqual(['head: 20', '<tail>: 0 → 3', '[8]: 0 → 3']);
    document.key('End');
    expect(document.shown()).toMatchObject({ position: '3 of 3', current: 2 });
    expect(document.shown().words[0]).toBe('head: 20 → 21');
    document.key('ArrowRight');
    expect(document.shown().position).toBe('3 of 3');
    document.key('ArrowLeft');
    document.key('k');
    document.key('ArrowUp');
    expect(document.shown().position).toBe('1 of 3');
    document.click('next');
    expect(document.shown().position).toBe('2 of 3');
    document.clickRow(2);
    expect(document.shown().current).toBe(2);
    document.key('Home');
    expect(document.shown().current).toBe(0);
  });

  test('shows the access itself when the source is not at hand', () => {
    expect(run(report.html()).shown().source).toMatch(/^Atomics\.store\(m, 0/);
  });
});

function dataOf(html: string): { events: unknown[]; sources: Record<string, string> } {
  const json = /<script type="application\/json" id="data">(.*)<\/script>/.exec(html)![1]!;
  return JSON.parse(json);
}

function contrast(one: string, other: string): number {
  const luminance = (hex: string): number => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const [high, low] = [luminance(one), luminance(other)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

/** As much of an element as the script uses. */
class FakeElement {
  textContent = '';
  className = '';
  children: (FakeElement | string)[] = [];
  attributes = new Map<string, string>();
  onclick: () => void = () => {};
  append(...children: (FakeElement | string)[]): void {
    this.children.push(...children);
  }
  replaceChildren(...children: (FakeElement | string)[]): void {
    this.children = children;
  }
  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }
  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }
  scrollIntoView(): void {}
  text(): string {
    return (
      this.textContent + this.children.map((c) => (typeof c === 'string' ? c : c.text())).join('')
    );
  }
}

interface Shown {
  position: string;
  current: number;
  where: string;
  source: string;
  words: string[];
}

/** Runs the page's script on a document that has the elements that the page has. */
function run(html: string): {
  shown(): Shown;
  key(key: string): void;
  click(id: string): void;
  clickRow(at: number): void;
} {
  const ids = new Map<string, FakeElement>();
  for (const [, id] of html.matchAll(/ id="(\w+)"/g)) ids.set(id!, new FakeElement());
  ids.get('data')!.textContent = JSON.stringify(dataOf(html));
  const rows = [...html.matchAll(/<tr><td class="step">/g)].map(() => new FakeElement());
  const listeners: ((event: object) => void)[] = [];
  const script = /<script>([\s\S]*?)<\/script>/.exec(html)![1]!;
  runInContext(
    script,
    createContext({
      document: {
        getElementById: (id: string) => ids.get(id),
        querySelectorAll: () => rows,
        createElement: () => new FakeElement(),
      },
      matchMedia: () => ({ matches: false }),
      addEventListener: (_: string, listener: (event: object) => void) => listeners.push(listener),
    }),
  );
  const element = (id: string): FakeElement => ids.get(id)!;
  return {
    shown: () => ({
      position: element('position').textContent,
      current: rows.findIndex((row) => row.attributes.get('aria-current') === 'step'),
      where: element('where').textContent,
      source: (element('source').children as FakeElement[])
        .find(({ className }) => className === 'line now')!
        .text()
        .trim(),
      words: (element('words').children as FakeElement[]).map((row) =>
        (row.children as FakeElement[]).map((cell) => cell.text()).join(': '),
      ),
    }),
    key: (key) => {
      for (const listener of listeners) listener({ key, preventDefault: () => {} });
    },
    click: (id) => element(id).onclick(),
    clickRow: (at) => rows[at]!.onclick(),
  };
}
