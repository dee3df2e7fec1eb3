/** Typed zones: structs, their items as objects, and items in messages. */

export {
  type Access,
  type Accesses,
  type AtomicAccess,
} from './access.ts';
export * from './field.ts';
export {
  type ForgottenItem,
  forgetOwner,
  onForgotten,
  type OwnedLife,
  rememberOwner,
} from './forgotten.ts';
export { type ItemHandle, type TypedItem } from './item.ts';
export {
  isItemMessage,
  type ItemMessage,
  type ItemReceiver,
  type ItemTransferHandler,
  itemTransferHandler,
} from './message.ts';
export { type Fields, type Struct, struct, type ValueOf } from './struct.ts';
export { TypedZone, type Values } from './typed-zone.ts';
