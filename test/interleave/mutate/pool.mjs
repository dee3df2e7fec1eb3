/** Processes that run checks against mutants (child.mjs), for both kinds of mutants. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How many at once: `UMBUF_MUTANT_JOBS`, 2 when absent. */
export const JOBS = Number(process.env.UMBUF_MUTANT_JOBS ?? 2);
/** A check that says nothing for so long hangs outside shared memory. */
const SILENT_MS = 120_000;

/** Runs jobs in `JOBS` processes, each replaced when it hangs or has done fifty. */
export async function runAll(jobs, onResult) {
  let next = 0;
  const serve = async () => {
    while (next < jobs.length) {
      const child = fork(fileURLToPath(new URL('child.mjs', import.meta.url)), {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      });
      const inbox = [];
      let wake = () => {};
      child.on('message', (message) => {
        inbox.push(message);
        wake();
      });
      child.on('exit', () => {
        inbox.push({ gone: true });
        wake();
      });
      const receive = async (ms) => {
        if (inbox.length === 0) {
          await new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            wake = () => {
              clearTimeout(timer);
              resolve();
            };
          });
        }
        return inbox.shift();
      };
      let message = await receive(SILENT_MS);
      for (let done = 0; done < 50 && next < jobs.length && message?.gone !== true; done++) {
        const job = jobs[next++];
        child.send(job);
        let check = '';
        for (;;) {
          message = await receive(SILENT_MS);
          if (message?.alive !== undefined) {
            check = message.alive;
            continue;
          }
          break;
        }
        if (message?.result !== undefined) onResult(job, message.result);
        else {
          const kill = message === undefined ? 'hangs' : 'ends the process';
          const verdicts = { [check]: kill };
          onResult(job, {
            id: job.id,
            kill,
            check,
            verdicts,
            unreached: [],
            cut: [],
            ms: SILENT_MS,
          });
          break;
        }
      }
      child.kill('SIGKILL');
    }
  };
  await Promise.all(Array.from({ length: JOBS }, serve));
}
