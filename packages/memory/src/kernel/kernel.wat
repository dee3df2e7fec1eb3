;; Bulk kernels over the arena's shared memory. Built by scripts/build-kernel.mjs into
;; kernel.generated.ts; index.ts describes the calls, fallback.ts is the same in JavaScript.
;;
;; Invariants
;; * Addresses and lengths were checked by the caller. What is wrong all the same traps here
;;   (RuntimeError) and never touches anything outside the arena.
;; * Every access is plain: the ranges are owned memory (design: kinds of words).
;; * No alignment is asked of anything; WebAssembly is little-endian on every host.
(module
  ;; The widest limits there are, so that an arena of any size matches.
  (import "env" "memory" (memory 0 65536 shared))

  ;; copy(to, from, length): overlapping ranges as memmove. Up to 64 bytes all loads stand before
  ;; all stores, in pairs that may overlap: half the cost of memory.copy, which calls into the
  ;; engine, and right for overlapping ranges for the same reason.
  (func (export "copy") (param $to i32) (param $from i32) (param $length i32)
    (local $head v128) (local $head2 v128) (local $tail v128) (local $tail2 v128)
    (local $head64 i64) (local $fromEnd i32) (local $toEnd i32)
    (if (i32.gt_u (local.get $length) (i32.const 64))
      (then
        (memory.copy (local.get $to) (local.get $from) (local.get $length))
        (return)))
    (local.set $fromEnd (i32.add (local.get $from) (local.get $length)))
    (local.set $toEnd (i32.add (local.get $to) (local.get $length)))
    (if (i32.gt_u (local.get $length) (i32.const 32))
      (then
        (local.set $head (v128.load (local.get $from)))
        (local.set $head2 (v128.load offset=16 (local.get $from)))
        (local.set $tail2 (v128.load (i32.sub (local.get $fromEnd) (i32.const 32))))
        (local.set $tail (v128.load (i32.sub (local.get $fromEnd) (i32.const 16))))
        (v128.store (local.get $to) (local.get $head))
        (v128.store offset=16 (local.get $to) (local.get $head2))
        (v128.store (i32.sub (local.get $toEnd) (i32.const 32)) (local.get $tail2))
        (v128.store (i32.sub (local.get $toEnd) (i32.const 16)) (local.get $tail))
        (return)))
    (if (i32.ge_u (local.get $length) (i32.const 16))
      (then
        (local.set $head (v128.load (local.get $from)))
        (local.set $tail (v128.load (i32.sub (local.get $fromEnd) (i32.const 16))))
        (v128.store (local.get $to) (local.get $head))
        (v128.store (i32.sub (local.get $toEnd) (i32.const 16)) (local.get $tail))
        (return)))
    (if (i32.ge_u (local.get $length) (i32.const 8))
      (then
        (local.set $head64 (i64.load (local.get $from)))
        (i64.store (i32.sub (local.get $toEnd) (i32.const 8))
          ;; The operand is loaded before this store runs; the head is in a local already.
          (i64.load (i32.sub (local.get $fromEnd) (i32.const 8))))
        (i64.store (local.get $to) (local.get $head64))
        (return)))
    (memory.copy (local.get $to) (local.get $from) (local.get $length)))

  ;; fill(at, value, length): the low byte of value, length times.
  (func $fill (export "fill") (param $at i32) (param $value i32) (param $length i32)
    (local $pattern v128) (local $end i32)
    (if (i32.gt_u (local.get $length) (i32.const 64))
      (then
        (memory.fill (local.get $at) (local.get $value) (local.get $length))
        (return)))
    (if (i32.lt_u (local.get $length) (i32.const 16))
      (then
        (memory.fill (local.get $at) (local.get $value) (local.get $length))
        (return)))
    (local.set $pattern (i8x16.splat (local.get $value)))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (v128.store (local.get $at) (local.get $pattern))
    (v128.store (i32.sub (local.get $end) (i32.const 16)) (local.get $pattern))
    (if (i32.gt_u (local.get $length) (i32.const 32))
      (then
        (v128.store offset=16 (local.get $at) (local.get $pattern))
        (v128.store (i32.sub (local.get $end) (i32.const 32)) (local.get $pattern)))))

  ;; zero(at, length)
  (func (export "zero") (param $at i32) (param $length i32)
    (call $fill (local.get $at) (i32.const 0) (local.get $length)))

  ;; compare(left, right, length): difference of the first unequal bytes, or 0. Whole vectors while
  ;; they are equal, then byte by byte: at most sixteen bytes of an unequal vector, or the tail.
  (func (export "compare") (param $left i32) (param $right i32) (param $length i32) (result i32)
    (local $difference i32)
    (block $vectorsDone
      (loop $vectors
        (br_if $vectorsDone (i32.lt_u (local.get $length) (i32.const 16)))
        (br_if $vectorsDone
          (v128.any_true
            (v128.xor (v128.load (local.get $left)) (v128.load (local.get $right)))))
        (local.set $left (i32.add (local.get $left) (i32.const 16)))
        (local.set $right (i32.add (local.get $right) (i32.const 16)))
        (local.set $length (i32.sub (local.get $length) (i32.const 16)))
        (br $vectors)))
    (block $bytesDone
      (loop $bytes
        (br_if $bytesDone (i32.eqz (local.get $length)))
        (local.set $difference
          (i32.sub (i32.load8_u (local.get $left)) (i32.load8_u (local.get $right))))
        (br_if $bytesDone (local.get $difference))
        (local.set $left (i32.add (local.get $left) (i32.const 1)))
        (local.set $right (i32.add (local.get $right) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br $bytes)))
    (local.get $difference))

  ;; checksum(at, length, sum, oddOffset): internet checksum partial sum (RFC 1071), folded to
  ;; sixteen bits, not complemented. Words are added in little-endian order and the folded sum is
  ;; swapped at the end: one's complement addition commutes with swapping (RFC 1071, 2(B)). A piece
  ;; that starts at an odd offset of its chain needs a second swap, so two cancel out.
  (func (export "checksum") (param $at i32) (param $length i32) (param $sum i32)
    (param $oddOffset i32) (result i32)
    (local $total i64) (local $blockEnd i32) (local $vectorEnd i32)
    (local $even v128) (local $odd v128)

    ;; Vectors of sixteen bytes, two per turn. A 32-bit lane takes 131,070 at most per turn, so
    ;; 32,768 turns (1 MiB) fit: lanes go to the 64-bit total once per MiB.
    (local.set $vectorEnd
      (i32.add (local.get $at) (i32.and (local.get $length) (i32.const 0xffffffe0))))
    (block $vectorsDone
      (loop $blocks
        (br_if $vectorsDone (i32.ge_u (local.get $at) (local.get $vectorEnd)))
        (local.set $blockEnd (local.get $vectorEnd))
        (if (i32.gt_u (i32.sub (local.get $vectorEnd) (local.get $at)) (i32.const 0x100000))
          (then (local.set $blockEnd (i32.add (local.get $at) (i32.const 0x100000)))))
        (local.set $even (v128.const i32x4 0 0 0 0))
        (local.set $odd (v128.const i32x4 0 0 0 0))
        (loop $vectors
          (local.set $even
            (i32x4.add (local.get $even)
              (i32x4.extadd_pairwise_i16x8_u (v128.load (local.get $at)))))
          (local.set $odd
            (i32x4.add (local.get $odd)
              (i32x4.extadd_pairwise_i16x8_u (v128.load offset=16 (local.get $at)))))
          (local.set $at (i32.add (local.get $at) (i32.const 32)))
          (br_if $vectors (i32.lt_u (local.get $at) (local.get $blockEnd))))
        (local.set $even
          (i64x2.add
            (i64x2.add
              (i64x2.extend_low_i32x4_u (local.get $even))
              (i64x2.extend_high_i32x4_u (local.get $even)))
            (i64x2.add
              (i64x2.extend_low_i32x4_u (local.get $odd))
              (i64x2.extend_high_i32x4_u (local.get $odd)))))
        (local.set $total
          (i64.add (local.get $total)
            (i64.add
              (i64x2.extract_lane 0 (local.get $even))
              (i64x2.extract_lane 1 (local.get $even)))))
        (br $blocks)))

    ;; At most 31 bytes are left: words, then the odd byte, which is the first of its word.
    (local.set $vectorEnd
      (i32.add (local.get $at) (i32.and (local.get $length) (i32.const 30))))
    (block $wordsDone
      (loop $words
        (br_if $wordsDone (i32.ge_u (local.get $at) (local.get $vectorEnd)))
        (local.set $total
          (i64.add (local.get $total) (i64.load16_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (br $words)))
    (if (i32.and (local.get $length) (i32.const 1))
      (then
        (local.set $total
          (i64.add (local.get $total) (i64.load8_u (local.get $at))))))

    ;; Fold to sixteen bits. At most 2^31 bytes were added, so the total is below 2^47: 32 + 15
    ;; bits, then 33, then 17, then 16.
    (local.set $total
      (i64.add
        (i64.and (local.get $total) (i64.const 0xffffffff))
        (i64.shr_u (local.get $total) (i64.const 32))))
    (local.set $total
      (i64.add
        (i64.and (local.get $total) (i64.const 0xffff))
        (i64.shr_u (local.get $total) (i64.const 16))))
    (local.set $length (call $foldHalves (i32.wrap_i64 (local.get $total))))
    (if (i32.eqz (i32.and (local.get $oddOffset) (i32.const 1)))
      (then
        (local.set $length
          (i32.and
            (i32.or
              (i32.shl (local.get $length) (i32.const 8))
              (i32.shr_u (local.get $length) (i32.const 8)))
            (i32.const 0xffff)))))
    (call $foldHalves (i32.add (local.get $length) (local.get $sum))))

  ;; Adds the upper half to the lower, with the carry of that (twice is enough for 32 bits).
  (func $foldHalves (param $value i32) (result i32)
    (local.set $value
      (i32.add
        (i32.and (local.get $value) (i32.const 0xffff))
        (i32.shr_u (local.get $value) (i32.const 16))))
    (i32.add
      (i32.and (local.get $value) (i32.const 0xffff))
      (i32.shr_u (local.get $value) (i32.const 16))))
)
