;; A vCPU in hand-written WebAssembly. It has the engine and the guest's RAM in one memory, so that a host address
;; is an address of this memory, and translates by calls from wasm to wasm.
(module
  (import "memslots" "enterSection" (func $enterSection (param i32) (result i32)))
  (import "memslots" "exitSection" (func $exitSection (param i32)))
  (import "memslots" "gpaToHva" (func $gpaToHva (param i32 f64) (result f64)))
  (import "memslots" "gpaToHvaRead" (func $gpaToHvaRead (param i32 f64) (result f64)))
  (import "memslots" "markDirty" (func $markDirty (param i32 f64)))
  (import "env" "memory" (memory 1 65536 shared))

  ;; Words that the last sum met where no slot is.
  (global $holes (mut i32) (i32.const 0))
  (func (export "holes") (result i32) (global.get $holes))

  ;; Sum of `count` words from guest address `gpa` on, all from one layout. A hole counts as 0.
  (func (export "sum") (param $reader i32) (param $gpa f64) (param $count i32) (result i32)
    (local $sum i32) (local $hva f64)
    (global.set $holes (i32.const 0))
    (drop (call $enterSection (local.get $reader)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $hva (call $gpaToHvaRead (local.get $reader) (local.get $gpa)))
        (if (f64.lt (local.get $hva) (f64.const 0))
          (then (global.set $holes (i32.add (global.get $holes) (i32.const 1))))
          (else (local.set $sum
            (i32.add (local.get $sum) (i32.load (i32.trunc_f64_u (local.get $hva)))))))
        (local.set $gpa (f64.add (local.get $gpa) (f64.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (call $exitSection (local.get $reader))
    (local.get $sum))

  ;; Store a word: 1, or 0 where the guest may not write. The page is marked after the bytes are there.
  (func (export "store") (param $reader i32) (param $gpa f64) (param $value i32) (result i32)
    (local $hva f64) (local $stored i32)
    (drop (call $enterSection (local.get $reader)))
    (local.set $hva (call $gpaToHva (local.get $reader) (local.get $gpa)))
    (if (f64.ge (local.get $hva) (f64.const 0))
      (then
        (i32.store (i32.trunc_f64_u (local.get $hva)) (local.get $value))
        (call $markDirty (local.get $reader) (local.get $gpa))
        (local.set $stored (i32.const 1))))
    (call $exitSection (local.get $reader))
    (local.get $stored)))
