/** `umbuf pcap` as a user calls it: output, exit codes, and what it says about files that are off. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('.', import.meta.url));
const umbuf = fileURLToPath(new URL('../../packages/cli/bin/umbuf.js', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'umbuf-pcap-command-'));
const shipped = readdirSync(folder)
  .filter((name) => /\.pcap(ng)?$/.test(name))
  .map((name) => join(folder, name));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function pcap(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [umbuf, 'pcap', ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function save(name: string, ...parts: Buffer[]): string {
  const path = join(scratch, name);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

/** Header of a little-endian pcap file of raw IP packets. */
function header(): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(0xa1b2c3d4, 0);
  bytes.writeUInt16LE(2, 4);
  bytes.writeUInt32LE(65535, 16);
  bytes.writeUInt32LE(101, 20);
  return bytes;
}

function record(data: Buffer, claimed: number = data.length): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(claimed, 8);
  bytes.writeUInt32LE(claimed, 12);
  return Buffer.concat([bytes, data]);
}

/** An IPv4 packet of a protocol that nobody counts. */
const packet = Buffer.from('45000014000000004059000000000000ffffffff', 'hex');

afterAll(() => rmSync(scratch, { recursive: true }));

test.concurrent('--json prints one array with the facts of each file, in their order', async () => {
  const { code, stdout, stderr } = await pcap(...shipped, '--json', '--cpus', '4');
  const facts = shipped.map((path) =>
    JSON.parse(readFileSync(path.replace(/\.pcap(ng)?$/, '.facts.json'), 'utf8')),
  );
  expect(JSON.parse(stdout)).toEqual(facts);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

test.concurrent('without --json a summary tells each file, and that nothing is left', async () => {
  const { code, stdout } = await pcap(...shipped, '--level', 'invariants', '--preset', 'netbsd');
  expect(code).toBe(0);
  for (const path of shipped) expect(stdout).toContain(path.slice(folder.length));
  expect(stdout).toMatch(/^tcp +1285 +1285 +0$/m);
  expect(stdout).toContain('TCP: 31 streams, 902304 bytes in order');
  expect(stdout).toContain('ok: no mbuf left over, every invariant holds');
});

describe.concurrent('what is no capture is one line that names the file and byte 0, and exit 1', () => {
  test.each([
    ['text', () => save('text.pcap', Buffer.from('GET / HTTP/1.1\r\n'))],
    ['an empty file', () => save('empty.pcap')],
    ['a pcap header that is cut off', () => save('short.pcap', header().subarray(0, 23))],
    ['a file that is not there', () => join(scratch, 'none.pcap')],
    ['a folder', () => scratch],
  ])('%s', async (_what, make) => {
    const path = make();
    const { code, stdout, stderr } = await pcap(path, '--json');
    expect(stderr.startsWith(`umbuf pcap: ${path}: at byte 0: `), stderr).toBe(true);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });
});

test.concurrent('a record that cannot be right is an error at its offset', async () => {
  const path = save('bad.pcap', header(), record(packet), record(packet, 262145), record(packet));
  const { code, stdout, stderr } = await pcap(path, '--json', '--cpus', '4');
  expect(stderr).toBe(
    `umbuf pcap: ${path}: at byte 60: record claims 262145 captured bytes, the limit is 262144\n`,
  );
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
});

test.concurrent('a last record that is cut off is told on stderr and not counted', async () => {
  const path = save('cut.pcap', header(), record(packet), record(packet).subarray(0, 35));
  const { code, stdout, stderr } = await pcap(path, '--json');
  expect(code).toBe(0);
  expect(stderr).toContain(`${path}: at byte 60: the end of the file cuts off the last record`);
  expect(JSON.parse(stdout)[0]).toMatchObject({ frames: 1, bytes: 20, ip: 1 });
});

test.concurrent('frames that cannot be parsed are counted and told', async () => {
  const damaged = Buffer.from(packet);
  damaged[0] = 0x41; // a header of 4 bytes
  const path = save('damaged.pcap', header(), record(packet), record(damaged));
  const json = await pcap(path, '--json');
  expect(json.stderr).toBe(`${path}: 1 frame could not be parsed to the end\n`);
  expect(JSON.parse(json.stdout)[0]).toMatchObject({ frames: 2, ip: 2 });
  const { code, stdout } = await pcap(path, '--cpus', '1');
  expect(stdout).toContain('not parsed to the end: 1 frame');
  expect(code).toBe(0);
});

test.concurrent('words that are off are exit 2, with what is wrong with them', async () => {
  expect(await pcap()).toMatchObject({ code: 2, stderr: 'umbuf pcap: no capture file given\n' });
  const path = shipped[0]!;
  expect(await pcap(path, '--cpus', '0')).toMatchObject({
    code: 2,
    stderr: 'umbuf pcap: --cpus: 0 is not from 1 to 64\n',
  });
  expect((await pcap(path, '--level', 'some')).stderr).toContain(
    'none of none, checks, invariants',
  );
});
