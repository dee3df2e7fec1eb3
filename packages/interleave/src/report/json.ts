/**
 * Reports as JSON: what a shard of a campaign leaves behind for the merge. A recorded run travels
 * with it (so the merged report still shows the lanes), a thrown error only as its message.
 */
import type { CheckReport } from './report.ts';
import { page } from './page/page.ts';
import { text } from './text.ts';

/** The report as JSON text. */
export function serializeReport(report: CheckReport): string {
  return JSON.stringify(report, (key, value) => {
    if (key === 'error') return value === undefined ? undefined : String(value);
    if (typeof value === 'bigint') return `${value}n`;
    // Bytes of buffers are for lock step in this process only.
    return key === 'memory' ? [] : value;
  });
}

/** A report from its JSON text; throws a SyntaxError for text that is none. */
export function parseReport(json: string): CheckReport {
  const data = JSON.parse(json) as CheckReport;
  const isReport =
    typeof data === 'object' &&
    data !== null &&
    Array.isArray(data.phases) &&
    Array.isArray(data.shard);
  if (!isReport) {
    throw new SyntaxError('interleave: not a report');
  }
  const report: CheckReport = {
    ...data,
    text: () => text(report),
    html: (read) => page(report, read),
  };
  return report;
}
