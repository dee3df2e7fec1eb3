/**
 * Optional chains with something to replace behind a `?.`: `a?.b[i]` becomes
 * `((t = a) == null ? void 0 : t.b[i])`, innermost link first, because a `yield` in the middle of a
 * chain would not be skipped with it.
 */

import { colourOf } from '../colour.ts';
import type { Rope } from '../rope.ts';
import { type Node, unwrap } from '../source.ts';
import type { Emitter } from './emitter.ts';

/** Whether a chain holds something to replace behind a `?.`. */
export function needsLowering(out: Emitter, node: Node): boolean {
  let changed = false;
  for (let link = node; ; link = link.object ?? link.callee ?? link.expression) {
    if (
      link.type !== 'MemberExpression' &&
      link.type !== 'CallExpression' &&
      link.type !== 'TSNonNullExpression'
    ) {
      return false;
    }
    changed ||= changes(out, link);
    if (link.optional === true && changed) return true;
  }
}

function changes(out: Emitter, node: Node): boolean {
  const info = out.classified.info.get(node);
  if (info === undefined) return false;
  if (info.kind === 'call') return colourOf(info.callee, out.analysis.byName) > 0;
  if (info.kind === 'atomic' || info.kind === 'atomic-value') return false;
  return true;
}

/** `a?.b[i]` as `((t = a) == null ? void 0 : t.b[i])`, innermost link first. */
export function lowered(out: Emitter, node: Node): Rope {
  const link = innermostOptional(out, node);
  if (link === undefined) return out.emit(node);
  const depth = out.frame.depth;
  const head = testLink(out, link);
  out.tested.add(link);
  const rope: Rope = [...head, ...lowered(out, node), ')'];
  out.frame.depth = depth;
  return rope;
}

function testLink(out: Emitter, link: Node): Rope {
  const callee = link.type === 'CallExpression' ? unwrap(link.callee) : undefined;
  if (callee?.type === 'MemberExpression' && callee.object.type !== 'Super') {
    const object = out.emit(callee.object);
    const receiver = out.temporary();
    out.replaced.set(callee.object, receiver);
    const property = callee.computed
      ? ['[', ...out.emit(callee.property), ']']
      : ['.', ...out.emit(callee.property)];
    const fn = out.temporary();
    out.bound.set(link, [fn, receiver]);
    return [
      `((${receiver} = `,
      ...object,
      `, ${fn} = ${receiver}`,
      ...property,
      ') == null ? void 0 : ',
    ];
  }
  const target = link.type === 'CallExpression' ? link.callee : link.object;
  const rope = out.emit(target);
  const temporary = out.temporary();
  out.replaced.set(target, temporary);
  return [`((${temporary} = `, ...rope, ') == null ? void 0 : '];
}

function innermostOptional(out: Emitter, node: Node): Node | undefined {
  let found: Node | undefined;
  for (let link = node; link !== undefined; link = link.object ?? link.callee ?? link.expression) {
    if (link.optional === true && !out.tested.has(link)) found = link;
    if (
      link.type !== 'MemberExpression' &&
      link.type !== 'CallExpression' &&
      link.type !== 'TSNonNullExpression'
    )
      break;
  }
  return found;
}
