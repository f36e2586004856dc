//! What it costs to put 64 MiB into shared memory and to get at them, beside a plain copy.
//!
//! `cargo bench -p oxidask-store`. The best of several runs each. Claims: writing into memory that
//! was used before costs two to three times a plain copy into such memory, because the system looks
//! each page up, but half of writing into fresh memory, which is still less than a plain copy into
//! fresh memory; mapping costs microseconds, the second time too.
#![expect(unsafe_code, reason = "extents are mapped")]

use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use oxidask_store::{Arena, ArenaSettings, Extent, View, copy_out};

const LENGTH: usize = 64 << 20;
const RUNS: usize = 10;

fn main() {
    let bytes = vec![7; LENGTH];
    let settings = ArenaSettings { idle_limit: 2 * LENGTH as u64, ..ArenaSettings::default() };
    let arena = Arena::new("bench", settings).expect("memory is there");
    let reader = arena.reader().expect("can be opened");

    let mut warm = vec![1; LENGTH];
    report(
        "copy into used memory",
        || (),
        |()| black_box(&mut warm).copy_from_slice(black_box(&bytes)),
    );
    report("copy into fresh memory", || (), |()| drop(black_box(bytes.clone())));
    report(
        "write, fresh",
        || arena.trim().expect("can be given back"),
        |()| free(&arena, write(&arena, &bytes)),
    );
    report("write, recycled", || (), |()| free(&arena, write(&arena, &bytes)));
    let kept = write(&arena, &bytes);
    report("map and unmap", || (), |()| drop(black_box(map(&reader, kept))));
    let first = map(&reader, kept);
    report("map and unmap, second view", || (), |()| drop(black_box(map(&reader, kept))));
    report("read a view for the first time", || map(&reader, kept), |view| touch(&view));
    report("read a view again", || (), |()| touch(&first));
    report(
        "write into a view, one byte a page",
        || map(&reader, kept),
        |mut view| view.bytes_mut().iter_mut().step_by(4096).for_each(|byte| *byte += 1),
    );

    let small = arena.write(&[&bytes[..4096]]).expect("fits");
    report(
        "4 KiB: write and free",
        || (),
        |()| {
            free(&arena, arena.write(&[&bytes[..4096]]).expect("fits"));
        },
    );
    report(
        "4 KiB: copy out",
        || (),
        |()| {
            black_box(copy_out(reader.as_fd(), small).expect("is there"));
        },
    );
}

fn write(arena: &Arena, bytes: &[u8]) -> Extent {
    arena.write(&[bytes]).expect("fits")
}

fn free(arena: &Arena, extent: Extent) {
    arena.free(extent).expect("is there");
}

fn map(reader: &OwnedFd, extent: Extent) -> View {
    // SAFETY: what is mapped is not freed.
    unsafe { View::map(reader.as_fd(), extent) }.expect("is there")
}

/// Reads a byte of each cache line.
fn touch(view: &View) {
    black_box(view.bytes().iter().step_by(64).fold(0_u8, |sum, &byte| sum.wrapping_add(byte)));
}

fn report<T>(name: &str, mut prepare: impl FnMut() -> T, mut action: impl FnMut(T)) {
    let best = (0..RUNS).map(|_| {
        let input = prepare();
        let begin = Instant::now();
        action(input);
        begin.elapsed().as_secs_f64() * 1e6
    });
    println!("{name:<36} {:>10.1} µs", best.fold(f64::MAX, f64::min));
}
