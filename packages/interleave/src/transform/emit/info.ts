/**
 * What a classified expression is replaced by: an access in a generator becomes a step, one in a rigid
 * place is refused, guarded or recorded. Called by the emitter for each node that has an `Info`.
 */

import type { Info } from '../classify/facts.ts';
import type { Rope } from '../rope.ts';
import { type Node, unwrap } from '../source.ts';
import { writeAssign, writeAtomic, writeRead, writeUpdate } from './accesses.ts';
import { writeCall, writeMethodCall } from './calls.ts';
import type { Emitter } from './emitter.ts';
import { recordedAccess, recordedMethod, rigidAccess } from './rigid.ts';
import { stepText } from './step.ts';

/** The replacement, or undefined when the node is copied as it is. */
export function writeInfo(out: Emitter, node: Node, info: Info): Rope | undefined {
  switch (info.kind) {
    case 'atomic':
      return writeAtomic(out, node, info.method);
    case 'atomic-value': {
      out.usesRuntime = true;
      const site = out.site(node, info.method);
      const access = stepText(`__rt.${info.method}(${site}, ...args)`);
      return [`(function* (...args) { return ${access}; })`];
    }
    case 'call':
      return writeCall(out, node, info.callee);
    case 'method':
      if (!out.frame.isGenerator) {
        if (out.records) return recordedMethod(out, node, info);
        return (
          rigidAccess(out, node, unwrap(node.callee).object, info.certain) ??
          writeCall(out, node, info.callee)
        );
      }
      return writeMethodCall(out, node, info);
    case 'read':
    case 'assign':
    case 'update':
      if (!out.frame.isGenerator) {
        const recorded = out.records ? recordedAccess(out, node, info) : undefined;
        return recorded ?? rigidAccess(out, node, info.member.object, info.certain);
      }
      out.usesRuntime = true;
      return info.kind === 'read'
        ? writeRead(out, node, info.certain)
        : info.kind === 'assign'
          ? writeAssign(out, node, info.member, info.certain)
          : writeUpdate(out, node, info.member, info.certain);
  }
}
