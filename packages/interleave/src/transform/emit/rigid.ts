/**
 * Places that cannot be suspended: accesses are refused where they are certain, guarded where
 * they are not, and performed at once with `unsuspendable: 'record'`. Never skipped silently.
 */

import type { Guard, Info } from '../classify/facts.ts';
import { colourOf } from '../colour.ts';
import type { Rope } from '../rope.ts';
import { type Node, unwrap } from '../source.ts';
import { copyList } from './copy.ts';
import type { Emitter } from './emitter.ts';

/** An access in a rigid place: refused when certain, else guarded; undefined means "copy". */
export function rigidAccess(out: Emitter, node: Node, receiver: Node, certain: boolean): undefined {
  if (certain) out.refuse(node, `shared memory is touched ${out.frame.fn.rigid}`);
  out.classified.guards.set(receiver, { kind: 'guard', certain: false, what: 'touched' });
  return undefined;
}

export function recordedMethod(out: Emitter, node: Node, info: Info & { kind: 'method' }): Rope {
  if (info.certain) out.refuse(node, `shared memory is touched ${out.frame.fn.rigid}`);
  out.usesRuntime = out.usesGuards = true;
  const head = `__xf.method(${out.site(node, info.op === 'bulk' ? 'bulk' : 'DataView')}, '${info.op}', `;
  const receiver = out.emit(unwrap(node.callee).object);
  return [head, ...receiver, `, '${info.method}', [`, ...copyList(out, node.arguments), '])'];
}

/** Only `m[i]` and `m[i] = v`; anything else throws when it meets shared memory. */
export function recordedAccess(
  out: Emitter,
  node: Node,
  info: Info & { kind: 'read' | 'assign' | 'update' },
): Rope | undefined {
  if (info.kind === 'update' || (info.kind === 'assign' && node.operator !== '=')) return undefined;
  if (info.certain) out.refuse(node, `shared memory is touched ${out.frame.fn.rigid}`);
  out.usesRuntime = out.usesGuards = true;
  const { object, property } = info.member;
  const name = info.kind === 'read' ? 'read' : 'write';
  const rope: Rope = [`__xf.${name}(${out.site(node, name)}, `, ...out.emit(object), ', '];
  rope.push(...out.emit(property));
  if (info.kind === 'assign') rope.push(', ', ...out.emit(node.right));
  return [...rope, ')'];
}

export function guarded(out: Emitter, node: Node, guard: Guard): Rope {
  out.passed.add(node);
  const rope = out.emit(node);
  out.passed.delete(node);
  if (guard.kind === 'callback') {
    if (colourOf(guard.callee, out.analysis.byName) === 0) return rope;
    if (guard.callee.kind !== 'unknown')
      out.warnings.push(
        out.source.problem(
          node.start,
          'a function that touches shared memory is handed to code that is not transformed',
          out.records
            ? 'It runs at once when that code calls it: nothing can come between.'
            : 'It throws when that code calls it. Call it from a CPU of the check instead.',
        ),
      );
    out.usesGuards = true;
    if (out.records) return ['__xf.runner(', ...rope, ')'];
    return ['__xf.callback(', ...rope, `, ${out.where(node)})`];
  }
  if (guard.kind !== 'guard') {
    out.usesGuards = true;
    if (out.records) out.usesRuntime = true;
    const site = out.records ? `, ${out.site(node, 'bulk')}` : '';
    const paths = guard.kind === 'parts' ? `, ${JSON.stringify(guard.paths)}` : '';
    return [`__xf.${guard.kind}(`, ...rope, `${paths}, ${out.where(node)}${site})`];
  }
  if (guard.certain) {
    out.refuse(node, `a view over shared memory is ${guard.what}`, 'Write a loop over indices.');
  }
  out.usesGuards = true;
  // What writes through the view (or is written through it) cannot be given a copy.
  if (out.records && !/touched|assigned|encodeInto|getRandomValues|assign/.test(guard.what)) {
    out.usesRuntime = true;
    return [`__xf.snapshot(${out.site(node, 'bulk')}, `, ...rope, ')'];
  }
  return ['__xf.plain(', ...rope, `, ${out.where(node)})`];
}
