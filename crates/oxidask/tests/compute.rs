//! What users of the Rust API rely on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use oxidask::{ComputeError, Graph, Task, Threads};

/// Counts how many of its copies are alive, and the most there ever were.
#[derive(Default)]
struct Census {
    alive: AtomicUsize,
    most: AtomicUsize,
}

struct Counted(Arc<Census>, u64);

impl Counted {
    fn new(census: &Arc<Census>, value: u64) -> Self {
        let alive = census.alive.fetch_add(1, Ordering::SeqCst) + 1;
        census.most.fetch_max(alive, Ordering::SeqCst);
        Self(Arc::clone(census), value)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn each_closure_that_is_needed_runs_once_and_no_other() {
    let ran = Arc::new(AtomicUsize::new(0));
    let mut graph = Graph::new();
    let tasks: Vec<Task<usize>> = (0..1000)
        .map(|i| {
            let ran = Arc::clone(&ran);
            graph.call((), move |()| {
                ran.fetch_add(1, Ordering::SeqCst);
                i
            })
        })
        .collect();
    assert_eq!(graph.len(), 1000);
    let even: Vec<_> = tasks.iter().copied().step_by(2).collect();
    let sum = graph.call(even, |even| even.into_iter().sum::<usize>());
    let sum = Threads::new(2).compute(graph, sum).expect("nothing fails");
    assert_eq!(*sum, (0..1000).step_by(2).sum::<usize>());
    assert_eq!(ran.load(Ordering::SeqCst), 500);
    // Each closure held a count, those that never ran too.
    assert_eq!(Arc::strong_count(&ran), 1);
}

#[test]
fn results_die_with_their_last_reader() {
    for threads in [1, 3] {
        let census: Arc<Census> = Arc::default();
        let mut graph = Graph::new();
        let mut level: Vec<Task<Counted>> = (0..1 << 10)
            .map(|i| {
                let census = Arc::clone(&census);
                graph.call((), move |()| Counted::new(&census, i))
            })
            .collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| graph.call((pair[0], pair[1]), |(a, b)| Counted::new(&a.0, a.1 + b.1)))
                .collect();
        }
        let sum = Threads::new(threads).compute(graph, level[0]).expect("nothing fails");
        assert_eq!(sum.1, 1023 * 512);
        let most = census.most.load(Ordering::SeqCst);
        assert!(most <= 12 * threads, "{most} results were alive at once");
        assert_eq!(census.alive.load(Ordering::SeqCst), 1);
        drop(sum);
        assert_eq!(census.alive.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn wanted_tasks_have_any_shape() {
    let threads = Threads::new(1);
    let mut graph = Graph::new();
    let a = graph.call((), |()| 1_u8);
    let b = graph.call(a, |a| format!("{a}"));
    let c = graph.call((a, a), |(one, other)| one + other);
    let shape = format!("{a:?}");
    assert!(shape.starts_with("Task 0 of graph "), "{shape}");
    let (b, c, a) = threads.compute(graph, (b, c, a)).expect("nothing fails");
    assert_eq!((b.as_str(), *c, *a), ("1", 2, 1));

    let mut graph = Graph::new();
    let tasks: Vec<_> = (0..3).map(|i| graph.call((), move |()| i)).collect();
    let twice = [tasks.clone(), tasks].concat();
    let results = threads.compute(graph, twice).expect("nothing fails");
    assert_eq!(results.iter().map(|result| **result).collect::<Vec<i32>>(), [0, 1, 2, 0, 1, 2]);

    threads.compute(Graph::new(), ()).expect("there is nothing to fail");
    let none = threads.compute(Graph::new(), Vec::<Task<()>>::new());
    assert!(none.expect("there is nothing to fail").is_empty());
}

#[test]
fn six_inputs_arrive_in_their_places() {
    let mut graph = Graph::new();
    let letter = graph.call((), |()| 'a');
    let text = graph.call((), |()| "b");
    let number = graph.call((), |()| 3_i8);
    let float = graph.call((), |()| 4.0);
    let option = graph.call((), |()| Some(5));
    let array = graph.call((), |()| [6; 2]);
    let inputs = (letter, text, number, float, option, array);
    let all = graph.call(inputs, |(letter, text, number, float, option, array)| {
        format!("{letter} {text} {number} {float:.1} {option:?} {array:?}")
    });
    let all = Threads::new(1).compute(graph, all).expect("nothing fails");
    assert_eq!(*all, "a b 3 4.0 Some(5) [6, 6]");
}

#[test]
fn an_error_says_where_its_task_was_made_and_keeps_the_source() {
    let mut graph = Graph::new();
    let line = line!() + 1;
    let number = graph.try_call((), |()| "x".parse::<u8>());
    let double = graph.call(number, |number| number * 2);
    let threads = Threads::new(2);
    let error = threads.compute(graph, double).expect_err("x is no number");
    let text = error.to_string();
    assert!(text.contains(&format!("tests/compute.rs:{line}:")), "{text}");
    assert!(text.ends_with("failed: invalid digit found in string"), "{text}");
    let ComputeError::Failed { source, .. } = error else { panic!("it did not panic") };
    assert!(source.is::<std::num::ParseIntError>());

    // The threads are as good as before.
    let mut graph = Graph::new();
    let one = graph.call((), |()| 1);
    assert_eq!(*threads.compute(graph, one).expect("nothing fails"), 1);
}

#[test]
fn a_panic_is_an_error_and_what_reads_the_task_never_runs() {
    let ran = Arc::new(AtomicUsize::new(0));
    let (values, unit) = (vec![1, 2], ());
    let mut graph = Graph::new();
    let unneeded = graph.call((), move |()| unit);
    let third = graph.call((), move |()| values[2]);
    let after = graph.call((third, unneeded), {
        let ran = Arc::clone(&ran);
        move |(third, ())| {
            ran.fetch_add(1, Ordering::SeqCst);
            *third
        }
    });
    let error = Threads::new(1).compute(graph, after).expect_err("there is no third value");
    let ComputeError::Panicked { message, made_at } = error else { panic!("it panicked") };
    assert_eq!(message, "index out of bounds: the len is 2 but the index is 2");
    assert!(made_at.file().ends_with("compute.rs"));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert_eq!(Arc::strong_count(&ran), 1);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn results_whose_drop_panics_do_no_harm() {
    let threads = Threads::new(2);
    for _ in 0..20 {
        let mut graph = Graph::new();
        let bombs: Vec<_> = (0..8).map(|_| graph.call((), |()| Bomb)).collect();
        let read: Vec<_> = bombs.iter().map(|&bomb| graph.call(bomb, |_| 1)).collect();
        let sum = graph.call(read, |ones| ones.into_iter().sum::<i32>());
        assert_eq!(*threads.compute(graph, sum).expect("nothing fails"), 8);

        // Bombs that nobody has read when the computation fails, and one that is thrown.
        let mut graph = Graph::new();
        let bombs: Vec<_> = (0..8).map(|_| graph.call((), |()| Bomb)).collect();
        let thrown: Task<()> = graph.call(bombs, |_| std::panic::panic_any(Bomb));
        let error = threads.compute(graph, thrown).expect_err("it panics");
        assert!(error.to_string().ends_with("panicked: it did not say why"), "{error}");
    }
}

#[test]
fn a_closure_that_still_runs_may_be_the_last_owner_of_the_threads() {
    let threads = Arc::new(Threads::new(2));
    let (main, meeting) = (std::thread::current().id(), Arc::new(Barrier::new(2)));
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let (done, is_done) = std::sync::mpsc::channel();
    let told = Arc::new(std::sync::Mutex::new(told));
    let mut graph = Graph::new();
    let both: Vec<_> = (0..2)
        .map(|_| {
            let (threads, meeting) = (Arc::clone(&threads), Arc::clone(&meeting));
            let (told, done) = (Arc::clone(&told), done.clone());
            graph.try_call((), move |()| {
                meeting.wait();
                if std::thread::current().id() == main {
                    drop(threads);
                    return Err("the computation fails");
                }
                told.lock().expect("nobody panics").recv().expect("the test tells");
                drop(threads);
                done.send(()).expect("the test listens");
                Ok(())
            })
        })
        .collect();
    threads.compute(graph, both).expect_err("one of them fails");
    drop(threads);
    tell.send(()).expect("the closure listens");
    is_done.recv_timeout(std::time::Duration::from_secs(60)).expect("it does not wait for itself");
}

#[test]
fn closures_run_side_by_side() {
    // Neither of the two ends before the other has begun.
    let meeting = Arc::new(Barrier::new(2));
    let mut graph = Graph::new();
    let both: Vec<_> = (0..2)
        .map(|_| {
            let meeting = Arc::clone(&meeting);
            graph.call((), move |()| {
                meeting.wait();
            })
        })
        .collect();
    let threads = Threads::new(2);
    assert_eq!(threads.compute(graph, both).expect("nothing fails").len(), 2);
}

#[test]
fn closures_may_compute_with_the_same_threads() {
    let threads = Arc::new(Threads::new(2));
    let mut graph = Graph::new();
    let sums: Vec<_> = (0..8_u64)
        .map(|i| {
            let threads = Arc::clone(&threads);
            graph.try_call((), move |()| {
                let mut inner = Graph::new();
                let parts: Vec<_> = (0..i).map(|j| inner.call((), move |()| j)).collect();
                let sum = inner.call(parts, |parts| parts.into_iter().sum::<u64>());
                threads.compute(inner, sum).map(|sum| *sum)
            })
        })
        .collect();
    let total = graph.call(sums, |sums| sums.into_iter().sum::<u64>());
    assert_eq!(*threads.compute(graph, total).expect("nothing fails"), 56);
}

#[test]
fn several_threads_compute_at_once() {
    let threads = Threads::new(3);
    std::thread::scope(|scope| {
        for user in 0..4_u64 {
            let threads = &threads;
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut graph = Graph::new();
                    let parts: Vec<_> =
                        (0..50).map(|i| graph.call((), move |()| i * user)).collect();
                    let sum = graph.call(parts, |parts| parts.into_iter().sum::<u64>());
                    let sum = threads.compute(graph, sum).expect("nothing fails");
                    assert_eq!(*sum, 1225 * user);
                }
            });
        }
    });
}

#[test]
fn a_chain_of_a_million_closures_is_computed_and_dropped() {
    let mut graph = Graph::new();
    let first = graph.call((), |()| 0_u32);
    let last = (0..999_999).fold(first, |task, _| graph.call(task, |n| n + 1));
    assert_eq!(*Threads::new(2).compute(graph, last).expect("nothing fails"), 999_999);
}

#[test]
#[should_panic(expected = "task 0 is of graph")]
fn a_task_of_another_graph_is_refused_as_an_input() {
    let stranger = Graph::new().call((), |()| 1);
    Graph::new().call(stranger, |n| n + 1);
}

#[test]
#[should_panic(expected = "task 0 is of graph")]
fn a_task_of_another_graph_is_refused_as_wanted() {
    let stranger = Graph::new().call((), |()| 1);
    let _ = Threads::new(1).compute(Graph::new(), stranger);
}

#[test]
#[should_panic(expected = "at least 1 thread is needed, not 0")]
fn no_threads_are_refused() {
    let _ = Threads::new(0);
}
