/**
 * Performs one op on the real memory, with the real operation: same results, same coercions, same
 * errors. Waiting, waking and pausing are the machine's business and do not come here.
 */
import {
  ADD,
  AND,
  BULK,
  COMPARE_EXCHANGE,
  EXCHANGE,
  KIND_NAMES,
  LOAD,
  type Op,
  OR,
  READ,
  STORE,
  SUB,
  VIEW_GET,
  VIEW_SET,
  WRITE,
  XOR,
} from './protocol.ts';

/** The op's result; throws what the real operation throws. */
export function perform(op: Op): any {
  const { target, index } = op;
  switch (op.kind) {
    case LOAD:
      return Atomics.load(target, index);
    case READ:
      return target[index];
    case WRITE:
      target[index] = op.value;
      return op.value;
    case STORE:
      return Atomics.store(target, index, op.value);
    case COMPARE_EXCHANGE:
      return Atomics.compareExchange(target, index, op.value, op.extra);
    case ADD:
      return Atomics.add(target, index, op.value);
    case SUB:
      return Atomics.sub(target, index, op.value);
    case EXCHANGE:
      return Atomics.exchange(target, index, op.value);
    case AND:
      return Atomics.and(target, index, op.value);
    case OR:
      return Atomics.or(target, index, op.value);
    case XOR:
      return Atomics.xor(target, index, op.value);
    case VIEW_GET:
    case VIEW_SET:
    case BULK:
      return target[op.method](...op.args);
    default:
      throw new Error(`interleave: ${KIND_NAMES[op.kind]} cannot be performed here`);
  }
}
