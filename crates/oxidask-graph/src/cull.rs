//! Leaves out what nobody asked for.

use crate::Edges;

/// The tasks that `wanted` needs, themselves included, in rising order.
///
/// Takes time proportional to what is kept plus one bit a task.
pub fn cull(dependencies: &Edges, wanted: &[u32]) -> Vec<u32> {
    let mut kept = vec![false; dependencies.len()];
    let mut stack: Vec<u32> = Vec::new();
    for &task in wanted {
        if !std::mem::replace(&mut kept[task as usize], true) {
            stack.push(task);
        }
    }
    while let Some(task) = stack.pop() {
        for &dependency in dependencies.row(task) {
            if !std::mem::replace(&mut kept[dependency as usize], true) {
                stack.push(dependency);
            }
        }
    }
    (0..dependencies.len() as u32).filter(|&task| kept[task as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_wanted_tasks_need_is_kept() {
        let edges = Edges::from_rows([vec![], vec![], vec![0], vec![1], vec![2]]);
        assert_eq!(cull(&edges, &[4]), [0, 2, 4]);
        assert_eq!(cull(&edges, &[3, 3]), [1, 3]);
        assert_eq!(cull(&edges, &[]), [] as [u32; 0]);
    }
}
