//! What can be wrong with a graph, said with the keys that the user gave.

use crate::Edges;

/// A graph that cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A task needs itself, directly or through others.
    #[error("the graph has a cycle: {}; a task cannot wait for itself, so break one of these ties", .keys.join(" needs "))]
    Cycle {
        /// The keys around the cycle; the first is repeated at the end.
        keys: Vec<String>,
    },
    /// A task needs a key that nobody makes.
    #[error("task {key} needs {missing}, which is not in the graph; add it or pass its value")]
    MissingDependency {
        /// The task that needs it.
        key: String,
        /// The key that is missing.
        missing: String,
    },
}

/// Keys shown of a cycle; a longer one is cut in the middle.
const SHOWN_KEYS: usize = 12;

/// Whether all tasks can run; if not, the error names a cycle with `key_of`.
pub fn check_acyclic(
    dependencies: &Edges,
    key_of: impl Fn(u32) -> String,
) -> Result<(), GraphError> {
    let Some(cycle) = find_cycle(dependencies) else { return Ok(()) };
    let mut keys: Vec<String> = if cycle.len() <= SHOWN_KEYS {
        cycle.iter().map(|&task| key_of(task)).collect()
    } else {
        let half = SHOWN_KEYS / 2;
        let first = cycle[..half].iter().map(|&task| key_of(task));
        let last = cycle[cycle.len() - half..].iter().map(|&task| key_of(task));
        let between = format!("… {} more …", cycle.len() - SHOWN_KEYS);
        first.chain([between]).chain(last).collect()
    };
    keys.push(keys[0].clone());
    Err(GraphError::Cycle { keys })
}

/// The tasks around one cycle, each followed by one that it needs.
fn find_cycle(dependencies: &Edges) -> Option<Vec<u32>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; dependencies.len()];
    let mut path: Vec<(u32, usize)> = Vec::new();
    for start in 0..dependencies.len() as u32 {
        if marks[start as usize] != Mark::New {
            continue;
        }
        marks[start as usize] = Mark::OnPath;
        path.push((start, 0));
        while let Some((task, next)) = path.last_mut() {
            let Some(&dependency) = dependencies.row(*task).get(*next) else {
                marks[*task as usize] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[dependency as usize] {
                Mark::Done => {}
                Mark::New => {
                    marks[dependency as usize] = Mark::OnPath;
                    path.push((dependency, 0));
                }
                Mark::OnPath => {
                    let begin = path
                        .iter()
                        .position(|&(task, _)| task == dependency)
                        .expect("a task marked OnPath is on the path");
                    return Some(path[begin..].iter().map(|&(task, _)| task).collect());
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(rows: &[&[u32]]) -> String {
        let edges = Edges::from_rows(rows);
        check_acyclic(&edges, |task| format!("'{task}'")).expect_err("has a cycle").to_string()
    }

    #[test]
    fn a_cycle_is_named_by_its_keys() {
        assert_eq!(
            error_of(&[&[], &[0, 3], &[1], &[2]]),
            "the graph has a cycle: '1' needs '3' needs '2' needs '1'; a task cannot wait for \
             itself, so break one of these ties"
        );
        assert!(error_of(&[&[0]]).contains("'0' needs '0'"));
    }

    #[test]
    fn a_long_cycle_is_cut_in_the_middle() {
        let rows: Vec<Vec<u32>> = (0..100_000).map(|task| vec![(task + 1) % 100_000]).collect();
        let edges = Edges::from_rows(rows);
        let error = check_acyclic(&edges, |task| task.to_string()).expect_err("has a cycle");
        assert!(error.to_string().contains("… 99988 more …"), "{error}");
    }

    #[test]
    fn a_graph_in_which_tasks_share_inputs_has_no_cycle() {
        let edges = Edges::from_rows([vec![], vec![0], vec![0], vec![1, 2]]);
        assert_eq!(check_acyclic(&edges, |task| task.to_string()), Ok(()));
    }
}
