/**
 * Calls in a generator: followed by `yield*` when the callee is surely a generator function, else
 * decided by the result. Methods that touch elements if their receiver is a shared view yield one
 * range op. In a rigid place a call gets a guard instead.
 */

import type { Info } from '../classify/facts.ts';
import { colourOf } from '../colour.ts';
import type { Callee } from '../functions.ts';
import type { Rope } from '../rope.ts';
import { type Node, unwrap } from '../source.ts';
import { stable } from './accesses.ts';
import { copy, copyList } from './copy.ts';
import type { Emitter } from './emitter.ts';
import { step, stepText } from './step.ts';

export function writeMethodCall(out: Emitter, node: Node, info: Info & { kind: 'method' }): Rope {
  out.usesRuntime = true;
  const depth = out.frame.depth;
  const callee = unwrap(node.callee);
  const site = out.site(
    node,
    info.op === 'bulk' ? 'bulk' : info.op === 'viewGet' ? 'DataView get' : 'DataView set',
  );
  const name = JSON.stringify(info.method);
  const bound = out.bound.get(node);
  const args = bound === undefined ? null : copyList(out, node.arguments);
  if (info.certain) {
    const receiver: Rope = bound === undefined ? out.emit(callee.object) : [bound[1]];
    return step(
      `__rt.${info.op}(${site}, `,
      ...receiver,
      `, ${name}, [`,
      ...(args ?? copyList(out, node.arguments)),
      '])',
    );
  }
  const before: Rope = [];
  let receiver = bound?.[1] ?? stable(out, callee.object);
  if (receiver === undefined) {
    const rope = out.emit(callee.object);
    receiver = out.temporary();
    before.push(`${receiver} = `, ...rope, ', ');
  }
  const given = args ?? copyList(out, node.arguments);
  const list = out.temporary();
  before.push(`${list} = [`, ...given, '], ');
  const result = out.temporary();
  out.frame.depth = depth;
  let test = `__rt.isShared(${receiver})`;
  if (info.method === 'set') {
    out.usesGuards = true;
    test = `__xf.isBulkSet(${receiver}, ${list})`;
  }
  const plain = `${receiver}.${info.method}(...${list})`;
  const isColoured = colourOf(info.callee, out.analysis.byName) > 0;
  const otherwise = isColoured
    ? `(${result} = ${plain}) instanceof __rt.Generator ? yield* ${result} : ${result}`
    : plain;
  const access = stepText(`__rt.${info.op}(${site}, ${receiver}, ${name}, ${list})`);
  return ['(', ...before, `${test} ? ${access} : ${otherwise})`];
}

export function writeCall(out: Emitter, node: Node, callee: Callee): Rope {
  const colour = colourOf(callee, out.analysis.byName);
  if (colour === 0) return node.type === 'CallExpression' ? rawCall(out, node) : copy(out, node);
  if (!out.frame.isGenerator) {
    if (colour === 2) {
      const name =
        callee.kind === 'function' || callee.kind === 'method' ? callee.fn.name : 'the function';
      out.refuse(node, `\`${name}\`, which touches shared memory, is called ${out.frame.fn.rigid}`);
    }
    out.usesGuards = true;
    if (out.records) return ['__xf.run(', ...rawCall(out, node), ')'];
    return ['__xf.sync(', ...rawCall(out, node), `, ${out.where(node)})`];
  }
  out.usesRuntime = true;
  const depth = out.frame.depth;
  const rope = rawCall(out, node);
  out.frame.depth = depth;
  if (
    callee.kind === 'function' &&
    callee.fn.rigid === null &&
    (!node.optional || out.tested.has(node))
  ) {
    return ['(yield* ', ...rope, ')'];
  }
  const result = out.temporary();
  out.frame.depth = depth;
  return [`((${result} = `, ...rope, `) instanceof __rt.Generator ? yield* ${result} : ${result})`];
}

/** The call itself, before its result is looked at. */
export function rawCall(out: Emitter, node: Node): Rope {
  if (node.type !== 'CallExpression') return copy(out, node);
  const bound = out.bound.get(node);
  if (bound !== undefined) {
    const args = copyList(out, node.arguments);
    return [`${bound[0]}.call(${bound[1]}${args.length > 0 ? ', ' : ''}`, ...args, ')'];
  }
  if (!out.tested.has(node)) return copy(out, node);
  return [...out.emit(node.callee), '(', ...copyList(out, node.arguments), ')'];
}

export function writeMember(out: Emitter, node: Node): Rope {
  const property = out.emit(node.property);
  return node.computed
    ? [...out.emit(node.object), '[', ...property, ']']
    : [...out.emit(node.object), '.', ...property];
}
