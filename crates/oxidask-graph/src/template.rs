//! Argument templates: how a call is put together, as a postfix program.
//!
//! `f(x, [y, 3], scale=2)` with tasks `x` and `y` becomes
//! `literal f · dependency 0 · dependency 1 · literal 3 · list 2 · literal 2 · literal ("scale",) ·
//! call_keywords 2`.
//! A postfix program is evaluated by a loop over a stack of values, however deep the nesting, and a
//! task is fused into another by putting its program where the dependency stood.

/// One step of a [`Template`]: what to do with the stack of values. Four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op(u32);

/// An [`Op`] unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Push the result of the task's dependency with this number.
    Dependency(u32),
    /// Push the value with this number in the table of literals.
    Literal(u32),
    /// Pop so many values, push a list of them.
    List(u32),
    /// Pop so many values, push a tuple of them.
    Tuple(u32),
    /// Pop so many values, push a set of them.
    Set(u32),
    /// Pop so many pairs of key and value, push a dictionary of them.
    Dict(u32),
    /// Pop start, stop and step, push a slice.
    Slice,
    /// Pop so many arguments, then a function; push what the call returns.
    Call(u32),
    /// Pop a tuple of keyword names, then so many arguments of which the last are those keywords',
    /// then a function; push what the call returns.
    CallKeywords(u32),
}

const PAYLOAD_BITS: u32 = 28;
const PAYLOAD_MASK: u32 = (1 << PAYLOAD_BITS) - 1;

impl Op {
    /// Packs a step.
    ///
    /// # Panics
    /// If a number in it is 2²⁸ or more: no machine holds such a graph's arguments.
    pub fn new(kind: OpKind) -> Self {
        let (tag, payload) = match kind {
            OpKind::Dependency(index) => (0, index),
            OpKind::Literal(index) => (1, index),
            OpKind::List(len) => (2, len),
            OpKind::Tuple(len) => (3, len),
            OpKind::Set(len) => (4, len),
            OpKind::Dict(pairs) => (5, pairs),
            OpKind::Slice => (6, 0),
            OpKind::Call(arguments) => (7, arguments),
            OpKind::CallKeywords(arguments) => (8, arguments),
        };
        assert!(payload <= PAYLOAD_MASK, "a template step counts to 2²⁸, not to {payload}");
        Self(tag << PAYLOAD_BITS | payload)
    }

    /// Unpacks a step.
    pub fn kind(self) -> OpKind {
        let payload = self.0 & PAYLOAD_MASK;
        match self.0 >> PAYLOAD_BITS {
            0 => OpKind::Dependency(payload),
            1 => OpKind::Literal(payload),
            2 => OpKind::List(payload),
            3 => OpKind::Tuple(payload),
            4 => OpKind::Set(payload),
            5 => OpKind::Dict(payload),
            6 => OpKind::Slice,
            7 => OpKind::Call(payload),
            8 => OpKind::CallKeywords(payload),
            tag => unreachable!("an Op is made by Op::new only, which makes no tag {tag}"),
        }
    }

    /// The packed step, for hashing and storing: equal just for equal steps.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Op::bits`]; `None` for bits that are no step.
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits >> PAYLOAD_BITS <= 8).then_some(Self(bits))
    }

    /// The same step in a table of literals that begins at `base`.
    #[must_use]
    pub fn with_literals_from(self, base: u32) -> Self {
        match self.kind() {
            OpKind::Literal(index) => Self::new(OpKind::Literal(base + index)),
            _ => self,
        }
    }

    /// How many values the step pops and pushes.
    pub(crate) fn pops_and_pushes(self) -> (usize, usize) {
        match self.kind() {
            OpKind::Dependency(_) | OpKind::Literal(_) => (0, 1),
            OpKind::List(len) | OpKind::Tuple(len) | OpKind::Set(len) => (len as usize, 1),
            OpKind::Dict(pairs) => (2 * pairs as usize, 1),
            OpKind::Slice => (3, 1),
            OpKind::Call(arguments) => (arguments as usize + 1, 1),
            OpKind::CallKeywords(arguments) => (arguments as usize + 2, 1),
        }
    }
}

/// A postfix program that leaves one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'a>(pub &'a [Op]);

impl Template<'_> {
    /// Whether the program never pops from an empty stack and leaves one value, which is what
    /// evaluating it relies on.
    pub fn is_well_formed(self) -> bool {
        let mut depth = 0_usize;
        for op in self.0 {
            let (pops, pushes) = op.pops_and_pushes();
            if depth < pops {
                return false;
            }
            depth = depth - pops + pushes;
        }
        depth == 1
    }

    /// How often the dependency with this number is pushed.
    pub fn uses_of(self, dependency: u32) -> usize {
        self.0.iter().filter(|op| op.kind() == OpKind::Dependency(dependency)).count()
    }
}

/// Writes a program, numbering its dependencies in the order in which they are first used.
#[derive(Clone, Debug, Default)]
pub struct TemplateBuilder {
    ops: Vec<Op>,
}

impl TemplateBuilder {
    /// Adds a step.
    pub fn push(&mut self, kind: OpKind) {
        self.ops.push(Op::new(kind));
    }

    /// Steps so far.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no step yet.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Forgets the steps behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.ops.truncate(len);
    }

    /// The program.
    pub fn finish(self) -> Box<[Op]> {
        debug_assert!(Template(&self.ops).is_well_formed(), "malformed template {:?}", self.ops);
        self.ops.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(kinds: &[OpKind]) -> Vec<Op> {
        kinds.iter().map(|&kind| Op::new(kind)).collect()
    }

    #[test]
    fn packing_keeps_every_kind_of_step() {
        use OpKind::{Call, CallKeywords, Dependency, Dict, List, Literal, Set, Slice, Tuple};
        for kind in [
            Dependency(7),
            Literal(PAYLOAD_MASK),
            List(0),
            Tuple(1),
            Set(2),
            Dict(3),
            Slice,
            Call(4),
            CallKeywords(5),
        ] {
            assert_eq!(Op::new(kind).kind(), kind);
        }
    }

    #[test]
    fn a_program_that_pops_too_much_or_leaves_too_much_is_malformed() {
        use OpKind::{Call, Literal};
        assert!(Template(&ops(&[Literal(0), Literal(1), Call(1)])).is_well_formed());
        assert!(!Template(&ops(&[Literal(0), Call(1)])).is_well_formed());
        assert!(!Template(&ops(&[Literal(0), Literal(1)])).is_well_formed());
        assert!(!Template(&[]).is_well_formed());
    }
}
