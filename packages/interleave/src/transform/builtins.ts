/** Names of the language and the platform that the transform treats specially. */

const TYPED_ARRAY_NAMES =
  'Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array ' +
  'BigInt64Array BigUint64Array Float16Array Float32Array Float64Array';

export const TYPED_ARRAYS: ReadonlySet<string> = words(TYPED_ARRAY_NAMES);

/** `Atomics` methods with an op of their own in the runtime. */
export const ATOMICS: ReadonlySet<string> = words(
  'load store add sub and or xor exchange compareExchange wait waitAsync notify pause',
);

/** DataView accessors. */
export const VIEW_GET: ReadonlySet<string> = new Set(viewMethods('get'));
export const VIEW_SET: ReadonlySet<string> = new Set(viewMethods('set'));

/** Typed-array methods that touch elements and take no callback: one range event each. */
export const BULK: ReadonlySet<string> = words(
  'fill set copyWithin slice at with indexOf lastIndexOf includes join reverse toReversed toSorted sort ' +
    'toString toLocaleString',
);

/** Built-in methods that call back, synchronously or later. */
export const CALLBACK: ReadonlySet<string> = words(
  'map forEach filter reduce reduceRight some every find findIndex findLast findLastIndex flatMap ' +
    'sort toSorted replace replaceAll then catch finally',
);

/** Built-in methods that keep what they are given, and call nothing. */
export const STORING: ReadonlySet<string> = words('push unshift splice concat fill with set add');

/** Typed-array methods that read elements one by one: they cannot be suspended inside. */
export const ITERATION: ReadonlySet<string> = words(
  'map forEach filter reduce reduceRight some every find findIndex findLast findLastIndex ' +
    'entries values',
);

/** Methods of views that read or write elements; taken as values they would do so out of our sight. */
export function isViewMethod(name: string): boolean {
  return BULK.has(name) || VIEW_GET.has(name) || VIEW_SET.has(name) || ITERATION.has(name);
}

/** Those of them whose names nothing else has. */
export function isDataViewMethod(name: string | undefined): boolean {
  return name !== undefined && (VIEW_GET.has(name) || VIEW_SET.has(name));
}

/**
 * Functions that read (or write) views among their arguments out of our sight, and which arguments
 * those are. By plain name they are functions or methods of anything.
 */
const READ_ARGUMENTS: ReadonlyMap<string, readonly number[]> = new Map([
  ...each('from decode getRandomValues stringify update write', [0]),
  ...each('encodeInto digest apply', [1]),
  ...each('structuredClone postMessage Set Proxy String', [0]),
  ...each('Object.values Object.entries Object.fromEntries Object.defineProperty', [0]),
  ...each('Object.defineProperties Object.getOwnPropertyDescriptors', [0]),
  ...each('Object.assign', [0, 1, 2, 3, 4, 5, 6, 7]),
  ...each('Reflect.get Reflect.set Reflect.defineProperty', [0]),
  ...each('Reflect.getOwnPropertyDescriptor Object.getOwnPropertyDescriptor', [0]),
  ...each('Reflect.apply Reflect.construct', [1, 2]),
]);

/** Functions that look into objects: a view in a property is read (or shared a second time). */
export const READS_DEEPLY: ReadonlySet<string> = words('stringify structuredClone postMessage');

/** Which arguments of a callee by that name are read. */
export function readArguments(name: string, receiver: string): readonly number[] {
  return READ_ARGUMENTS.get(`${receiver}.${name}`) ?? READ_ARGUMENTS.get(name) ?? [];
}

/** Global functions that call nothing they are given. */
export const NEVER_CALLS: ReadonlySet<string> = words(
  'Math Number String BigInt Boolean Symbol Date performance crypto parseInt parseFloat isNaN isFinite ' +
    'encodeURIComponent decodeURIComponent Intl SharedArrayBuffer ArrayBuffer DataView Error TypeError ' +
    'RangeError SyntaxError AggregateError RegExp URL TextEncoder TextDecoder Buffer Atomics clearTimeout ' +
    'clearInterval clearImmediate structuredClone DOMException WebAssembly ' +
    TYPED_ARRAY_NAMES,
);

/** Methods that the language calls by itself: it would get a generator instead of a value. */
export const IMPLICIT: ReadonlySet<string> = words('toString valueOf toJSON toLocaleString then');

/** Types whose values are never views over shared memory, and whose methods are built in. */
export const PLAIN_TYPES: ReadonlySet<string> = words(
  'Array ReadonlyArray Map ReadonlyMap Set ReadonlySet WeakMap WeakSet WeakRef Promise PromiseLike ' +
    'Date RegExp RegExpExecArray RegExpMatchArray Error TypeError RangeError String Number Boolean BigInt Symbol ' +
    'ArrayBuffer SharedArrayBuffer ArrayBufferLike URL TextEncoder TextDecoder ' +
    'Function Capitalize Lowercase Uppercase Uncapitalize',
);

/** Names of the global object. */
export const GLOBAL_THIS: ReadonlySet<string> = words('globalThis self window global');

/** Globals whose methods are built in. */
export const GLOBAL_OBJECTS: ReadonlySet<string> = words(
  'Math JSON Object Reflect Array Number String BigInt Symbol Promise Date console performance crypto ' +
    'process ArrayBuffer SharedArrayBuffer Map Set Error Intl Proxy RegExp URL WebAssembly Buffer Uint8Array ' +
    TYPED_ARRAY_NAMES,
);

function each(text: string, value: readonly number[]): [string, readonly number[]][] {
  return text.split(' ').map((name) => [name, value]);
}

function words(text: string): Set<string> {
  return new Set(text.split(' '));
}

function viewMethods(prefix: string): string[] {
  const kinds =
    'Int8 Uint8 Int16 Uint16 Int32 Uint32 BigInt64 BigUint64 Float16 Float32 Float64'.split(' ');
  return kinds.map((kind) => prefix + kind);
}
