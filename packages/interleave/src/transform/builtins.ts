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

/** Functions whose view arguments are read or written out of our sight. */
export const READS_ARGUMENTS: ReadonlySet<string> = words(
  'from decode encodeInto getRandomValues stringify structuredClone assign apply ' +
    'subtle digest update write',
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

/** Globals whose methods are built in. */
export const GLOBAL_OBJECTS: ReadonlySet<string> = words(
  'Math JSON Object Reflect Array Number String BigInt Symbol Promise Date console performance crypto ' +
    'process ArrayBuffer SharedArrayBuffer Map Set Error Intl Proxy RegExp URL WebAssembly Buffer Uint8Array ' +
    TYPED_ARRAY_NAMES,
);

function words(text: string): Set<string> {
  return new Set(text.split(' '));
}

function viewMethods(prefix: string): string[] {
  const kinds =
    'Int8 Uint8 Int16 Uint16 Int32 Uint32 BigInt64 BigUint64 Float16 Float32 Float64'.split(' ');
  return kinds.map((kind) => prefix + kind);
}
