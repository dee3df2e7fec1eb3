/** `umbuf netstat` as a user runs it. (packages/mbuf/test has the texts.) */

import { expect, it } from 'vitest';
import { umbuf } from '../support/umbuf.ts';

it('-m prints mbufs, clusters and bytes of a run of its own', async () => {
  const { code, stdout, stderr } = await umbuf(['netstat', '-m']);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^a run of our own: refcount/);
  expect(stdout).toMatch(/^\d+\/\d+\/\d+ mbufs in use \(current\/cache\/total\)\n/);
  expect(stdout.trimEnd().split('\n')).toHaveLength(11);
});

it('--json prints the numbers; --netbsd the other form, with its owners', async () => {
  const { stdout } = await umbuf(['netstat', '-m', '--json']);
  expect((JSON.parse(stdout) as { 'mbuf-total': number })['mbuf-total']).toBeGreaterThan(0);
  const netbsd = await umbuf(['netstat', '-mss', '-v', '-v']);
  expect(netbsd.stdout).toMatch(/^\d+ mbufs in use:\n/);
  expect(netbsd.stdout).toContain('calls to protocol drain routines\n');
});

it.each([[[]], [['-m', '-s']], [['-mss', '--json']], [['-m', '-v']], [['-m', '--nothing']]])(
  'words that are off (%j) are exit 2',
  async (words) => {
    expect(await umbuf(['netstat', ...words])).toMatchObject({ code: 2, stdout: '' });
  },
);
