//! The simulation finds mistakes: each that can be planted, within few scenarios.

use oxidask_scheduler::Bug;
use oxidask_simulation::{hunt, story};

/// So many scenarios may be needed to find a mistake. Without one, ten thousand find nothing.
const SCENARIOS: u64 = 2_000;

#[test]
fn each_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match hunt(Some(bug), 0..SCENARIOS) {
            Some(finding) => println!(
                "{bug:?} was found by scenario {}: {}",
                finding.seed + 1,
                finding.broken.invariant
            ),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "{SCENARIOS} scenarios do not find {missed:?}");
}

#[test]
fn a_finding_is_told_with_what_happened_to_whom_it_names() {
    let bug = Some(Bug::ResultsAreDroppedEarly);
    let finding = hunt(bug, 0..SCENARIOS).expect("the test above finds it");
    let lines = story(finding.seed, bug, Some(30));
    assert!(lines.len() > 2 && lines.len() <= 31, "{lines:#?}");
    assert_eq!(lines.last(), Some(&format!("broken: {}", finding.broken.invariant)));
    assert!(lines.iter().any(|line| line.contains("Run {")), "{lines:#?}");
}
