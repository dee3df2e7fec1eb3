/**
 * The style of the page, light and dark. Every text has a contrast of at least 4.5 to 1 with what is
 * behind it (WCAG AA; test/report-page.test.ts computes it), events to come included. Nothing is
 * wider than the window: long texts break, and a narrow window shows one event under the other.
 */

/** Colours by name, for both schemes; `*Behind` are backgrounds. */
export const COLOURS: Readonly<Record<'light' | 'dark', Readonly<Record<string, string>>>> = {
  light: {
    behind: '#ffffff',
    panelBehind: '#f4f4f1',
    nowBehind: '#fdeeb0',
    text: '#1b1b1b',
    later: '#656565',
    changed: '#9c2f00',
    line: '#d5d5d0',
  },
  dark: {
    behind: '#17191d',
    panelBehind: '#22252b',
    nowBehind: '#4b3f08',
    text: '#ececec',
    later: '#a3a7ae',
    changed: '#ffb48f',
    line: '#3d4148',
  },
};

function variables(scheme: 'light' | 'dark'): string {
  return Object.entries(COLOURS[scheme])
    .map(([name, value]) => `--${name}: ${value};`)
    .join(' ');
}

export const STYLE: string = `
:root { color-scheme: light dark; ${variables('light')} }
@media (prefers-color-scheme: dark) { :root { ${variables('dark')} } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 100rem; color: var(--text); background: var(--behind);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 1rem 0 0.3rem; }
code, td, pre { font-family: ui-monospace, monospace; font-size: 0.87rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
pre.box { padding: 0.6rem; background: var(--panelBehind); margin: 0.6rem 0; }
.controls { position: sticky; top: 0; padding: 0.5rem 0; background: var(--behind); z-index: 1; }
button { font: inherit; padding: 0.2rem 0.8rem; }
.panes { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.5rem; align-items: start; }
.side { position: sticky; top: 3.2rem; max-height: calc(100vh - 3.5rem); overflow-y: auto; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { padding: 0.1rem 0.5rem; text-align: left; vertical-align: top; border-left: 1px solid var(--line); }
.step { width: 3.4rem; border-left: 0; color: var(--later); }
.place { color: var(--later); }
.events tr { cursor: pointer; scroll-margin: 4rem; }
.events tr.later td { color: var(--later); }
.events tr[aria-current] td, .source .now { background: var(--nowBehind); color: var(--text); }
.events tr[aria-current] .place { color: var(--text); }
.source { background: var(--panelBehind); padding: 0.6rem; }
.source .line { display: block; padding-left: 4ch; text-indent: -4ch; } .source .number { color: var(--later); user-select: none; }
.source .now .number { color: var(--text); }
.changed { font-weight: bold; color: var(--changed); }
@media (max-width: 640px) {
  .panes { display: flex; flex-direction: column-reverse; gap: 0.5rem; }
  .panes > * { width: 100%; }
  .side { position: sticky; top: 3.2rem; max-height: 45vh; z-index: 1; padding-bottom: 0.5rem;
    background: var(--behind); border-bottom: 2px solid var(--line); }
  .events tr { scroll-margin-top: calc(45vh + 6rem); }
  .lanes thead { display: none; }
  .lanes tr { display: grid; grid-template-columns: 2.6rem minmax(0, 1fr); }
  .lanes td { border-left: 0; } .lanes td:empty { display: none; } .lanes .step { width: auto; }
  .lanes td[data-cpu]::before { content: attr(data-cpu) ': '; font-weight: bold; }
}
`;
