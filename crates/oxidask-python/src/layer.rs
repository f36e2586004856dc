//! The class `Layer`: one operation on a grid of blocks, lazily, with references to what it reads.
//!
//! It is to a collection what `Delayed` is to one task: making one copies nothing and takes time for
//! the blocks along its axes, not for all its blocks. A block of a layer is a `Delayed` of its own
//! when somebody asks for it.

use std::cell::RefCell;

use oxidask_graph::{Axis, Edges, OpKind, Step};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyDict, PyList, PyString, PyTuple};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::arguments::{Call, CallBuilder};
use crate::delayed::{Delayed, Description, Kind};
use crate::identity::Identity;
use crate::origin::Origin;

/// A place in the user's code: a code object and an instruction in it.
type Place<'py> = (Bound<'py, PyCode>, i32);

/// What a layer reads: another one, or a task.
pub(crate) enum Source {
    Layer(Py<Layer>),
    Task(Py<Delayed>),
}

impl Source {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Layer(layer) => Self::Layer(layer.clone_ref(py)),
            Self::Task(task) => Self::Task(task.clone_ref(py)),
        }
    }
}

/// One input of a layer: which blocks of what.
pub(crate) struct LayerInput {
    pub(crate) source: Source,
    pub(crate) axes: Vec<Axis>,
    pub(crate) is_list: bool,
}

/// A call for each block.
pub(crate) struct LayerCall {
    pub(crate) inputs: Vec<LayerInput>,
    /// Numbers of literals and tables are those of this call.
    pub(crate) steps: Vec<Step>,
    /// For each table its first literal and how many there are.
    pub(crate) tables: Vec<(u32, u32)>,
    pub(crate) literals: Vec<Py<PyAny>>,
    pub(crate) is_cheap: bool,
}

/// Where the blocks of a layer come from.
pub(crate) enum Body {
    Call(LayerCall),
    /// A task each, row by row.
    Given(Vec<Py<Delayed>>),
    /// Other layers behind each other.
    Joined {
        axis: usize,
        parts: Vec<Py<Layer>>,
    },
}

/// One operation on a grid of blocks.
#[pyclass(frozen, weakref, module = "oxidask._core")]
pub(crate) struct Layer {
    /// The first part of the keys of its blocks.
    pub(crate) name: String,
    pub(crate) name_hash: u128,
    /// The name of its group.
    pub(crate) label: Py<PyString>,
    pub(crate) grid: Vec<u32>,
    pub(crate) body: Body,
    pub(crate) origin: Option<Origin>,
    pub(crate) annotations: Option<Py<PyDict>>,
}

/// In a call of a layer: blocks of a layer, or the result of a task.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Read {
    source: Source,
    axes: Vec<Axis>,
    is_list: bool,
}

/// In a call of a layer: one of some values, by the block's coordinate along an axis.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Along {
    axis: u32,
    values: Vec<Py<PyAny>>,
}

/// A lazy value that stands for a placeholder while a call is put together.
fn standing_for(py: Python<'_>, placeholder: Bound<'_, PyAny>) -> PyResult<Py<Delayed>> {
    let mut builder = CallBuilder::new(py);
    builder.push_literal(placeholder);
    let description = Description {
        identity: Identity::Random(0),
        kind: Kind::Call,
        label: None,
        length: None,
        origin: None,
        annotations: None,
    };
    Py::new(py, Delayed::new(description, builder.finish()))
}

/// Stands for blocks of a layer, or the result of a task, in the call of a layer.
///
/// For each axis of what is read: the number of an axis of the reading layer (the block of the same
/// coordinate), None (the first block), or an axis or None and for each coordinate along it a block
/// or a list of blocks. With `many` the call is given a list of the blocks.
#[pyfunction]
#[pyo3(signature = (source, axes, many=false))]
pub(crate) fn read_blocks(
    source: &Bound<'_, PyAny>,
    axes: Vec<Bound<'_, PyAny>>,
    many: bool,
) -> PyResult<Py<Delayed>> {
    let py = source.py();
    let (source, ndim) = if let Ok(layer) = source.cast::<Layer>() {
        (Source::Layer(layer.clone().unbind()), layer.get().grid.len())
    } else {
        (Source::Task(source.cast::<Delayed>()?.clone().unbind()), 0)
    };
    if axes.len() != ndim {
        return Err(PyValueError::new_err(format!(
            "read_blocks: {} axes of a grid of {ndim}",
            axes.len()
        )));
    }
    let axes = axes.iter().map(axis_of).collect::<PyResult<Vec<_>>>()?;
    let read = Read { source, axes, is_list: many };
    standing_for(py, Bound::new(py, read)?.into_any())
}

/// Stands for one of some values in the call of a layer, by the block's coordinate along an axis.
#[pyfunction]
pub(crate) fn along_axis(
    py: Python<'_>,
    axis: u32,
    values: Vec<Py<PyAny>>,
) -> PyResult<Py<Delayed>> {
    standing_for(py, Bound::new(py, Along { axis, values })?.into_any())
}

fn axis_of(axis: &Bound<'_, PyAny>) -> PyResult<Axis> {
    if axis.is_none() {
        return Ok(Axis::always(&[0]));
    }
    if let Ok(from) = axis.extract::<u32>() {
        return Ok(Axis::same(from));
    }
    let (from, rows): (Option<u32>, Bound<'_, PyList>) = axis.extract()?;
    let rows = if let Ok(blocks) = rows.extract::<Vec<u32>>() {
        Edges::from_rows(blocks.into_iter().map(|block| [block]))
    } else {
        Edges::from_rows(rows.extract::<Vec<Vec<u32>>>()?)
    };
    Ok(Axis { from, rows: Some(rows.into()) })
}

#[pymethods]
impl Layer {
    /// One call, `function(*args, **kwargs)`, for each block of a grid.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "Python's options, one by one")]
    #[pyo3(signature = (name, label, grid, function, args, kwargs=None, *, cheap=false, origin=None))]
    fn new<'py>(
        py: Python<'py>,
        name: String,
        label: Bound<'py, PyString>,
        grid: Vec<u32>,
        function: Option<Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        cheap: bool,
        origin: Option<Place<'py>>,
    ) -> PyResult<Self> {
        let mut builder = CallBuilder::new(py);
        if let Some(function) = function {
            builder.push_literal(function);
            for value in args.iter() {
                builder.push_value(value)?;
            }
            let mut count = args.len();
            match kwargs.filter(|kwargs| !kwargs.is_empty()) {
                None => builder.push(OpKind::Call(count as u32)),
                Some(kwargs) => {
                    count += kwargs.len();
                    for value in kwargs.values() {
                        builder.push_value(value)?;
                    }
                    builder.push_literal(PyTuple::new(py, kwargs.keys())?.into_any());
                    builder.push(OpKind::CallKeywords(count as u32));
                }
            }
        } else {
            builder.push_value(args.get_item(0)?)?;
        }
        let call = call_of_layer(py, builder.finish(), &grid, cheap)?;
        Self::with_body(py, name, label, grid, Body::Call(call), origin)
    }

    /// A grid of blocks that tasks make, row by row.
    #[staticmethod]
    #[pyo3(signature = (name, label, grid, tasks, origin=None))]
    fn given(
        py: Python<'_>,
        name: String,
        label: Bound<'_, PyString>,
        grid: Vec<u32>,
        tasks: Vec<Py<Delayed>>,
        origin: Option<Place<'_>>,
    ) -> PyResult<Self> {
        let count: usize = grid.iter().map(|&blocks| blocks as usize).product();
        if count != tasks.len() {
            return Err(PyValueError::new_err(format!(
                "Layer.given: {} tasks for a grid of {count} blocks",
                tasks.len()
            )));
        }
        Self::with_body(py, name, label, grid, Body::Given(tasks), origin)
    }

    /// Layers behind each other along an axis.
    #[staticmethod]
    #[pyo3(signature = (name, label, axis, parts, origin=None))]
    fn joined(
        py: Python<'_>,
        name: String,
        label: Bound<'_, PyString>,
        axis: usize,
        parts: Vec<Py<Self>>,
        origin: Option<Place<'_>>,
    ) -> PyResult<Self> {
        let Some(first) = parts.first() else {
            return Err(PyValueError::new_err("Layer.joined: no layers"));
        };
        let mut grid = first.get().grid.clone();
        grid[axis] = 0;
        for part in &parts {
            let other = &part.get().grid;
            let fits = other.len() == grid.len()
                && (0..grid.len()).all(|one| one == axis || other[one] == grid[one]);
            if !fits {
                return Err(PyValueError::new_err(format!(
                    "Layer.joined: grids {:?} and {other:?} do not fit along axis {axis}",
                    first.get().grid
                )));
            }
            grid[axis] += other[axis];
        }
        Self::with_body(py, name, label, grid, Body::Joined { axis, parts }, origin)
    }

    /// The first part of the keys of its blocks.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Blocks along each axis.
    #[getter]
    fn grid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.grid)
    }

    /// The same layer with blocks that have other keys.
    fn renamed(slf: &Bound<'_, Self>, name: String) -> Self {
        let py = slf.py();
        let this = slf.get();
        let body = match &this.body {
            Body::Call(call) => Body::Call(LayerCall {
                inputs: call
                    .inputs
                    .iter()
                    .map(|input| LayerInput {
                        source: input.source.clone_ref(py),
                        axes: input.axes.clone(),
                        is_list: input.is_list,
                    })
                    .collect(),
                steps: call.steps.clone(),
                tables: call.tables.clone(),
                literals: call.literals.iter().map(|literal| literal.clone_ref(py)).collect(),
                is_cheap: call.is_cheap,
            }),
            Body::Given(tasks) => {
                Body::Given(tasks.iter().map(|task| task.clone_ref(py)).collect())
            }
            Body::Joined { axis, parts } => Body::Joined {
                axis: *axis,
                parts: parts.iter().map(|part| part.clone_ref(py)).collect(),
            },
        };
        Self {
            name_hash: xxh3_128(name.as_bytes()),
            name,
            label: this.label.clone_ref(py),
            grid: this.grid.clone(),
            body,
            origin: this.origin.as_ref().map(|origin| origin.clone_ref(py)),
            annotations: this.annotations.as_ref().map(|one| one.clone_ref(py)),
        }
    }

    /// The block at a coordinate, as a task.
    fn block(slf: &Bound<'_, Self>, coordinate: Vec<u32>) -> PyResult<Py<Delayed>> {
        let grid = &slf.get().grid;
        let fits = coordinate.len() == grid.len()
            && coordinate.iter().zip(grid).all(|(one, blocks)| one < blocks);
        if !fits {
            return Err(PyIndexError::new_err(format!(
                "there is no block {coordinate:?} in a grid of {grid:?}"
            )));
        }
        let block = coordinate.iter().zip(grid).fold(0, |sum, (one, blocks)| sum * blocks + one);
        Delayed::of_block(slf, block)
    }

    /// All blocks, row by row, as tasks.
    fn all_blocks(slf: &Bound<'_, Self>) -> PyResult<Vec<Py<Delayed>>> {
        (0..slf.get().len() as u32).map(|block| Delayed::of_block(slf, block)).collect()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.body {
            Body::Call(call) => {
                for input in &call.inputs {
                    match &input.source {
                        Source::Layer(layer) => visit.call(layer)?,
                        Source::Task(task) => visit.call(task)?,
                    }
                }
                for literal in &call.literals {
                    visit.call(literal)?;
                }
            }
            Body::Given(tasks) => {
                for task in tasks {
                    visit.call(task)?;
                }
            }
            Body::Joined { parts, .. } => {
                for part in parts {
                    visit.call(part)?;
                }
            }
        }
        visit.call(&self.annotations)
    }
}

impl Layer {
    fn with_body(
        py: Python<'_>,
        name: String,
        label: Bound<'_, PyString>,
        grid: Vec<u32>,
        body: Body,
        origin: Option<Place<'_>>,
    ) -> PyResult<Self> {
        let count = grid.iter().try_fold(1_u32, |count, &blocks| count.checked_mul(blocks));
        if count.is_none_or(|count| count >= 1 << 28) {
            return Err(PyValueError::new_err(format!(
                "a grid of {grid:?} has too many blocks: take larger chunks"
            )));
        }
        Ok(Self {
            name_hash: xxh3_128(name.as_bytes()),
            name,
            label: label.unbind(),
            grid,
            body,
            origin: match origin {
                Some((code, instruction)) => Some(Origin::of_code(code, instruction)),
                None => Origin::here(py),
            },
            annotations: crate::annotations::in_force(py)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.grid.iter().map(|&blocks| blocks as usize).product()
    }

    /// The key of a block.
    pub(crate) fn key<'py>(&self, py: Python<'py>, block: u32) -> PyResult<Bound<'py, PyAny>> {
        let mut left = block;
        let mut parts = vec![0; self.grid.len()];
        for (part, blocks) in parts.iter_mut().zip(&self.grid).rev() {
            *part = left % blocks;
            left /= blocks;
        }
        let mut key = vec![PyString::new(py, &self.name).into_any()];
        for part in parts {
            key.push(part.into_pyobject(py)?.into_any());
        }
        Ok(PyTuple::new(py, key)?.into_any())
    }

    /// The key of a block as text.
    pub(crate) fn key_text(&self, block: u32) -> String {
        let mut left = block;
        let mut parts = vec![0; self.grid.len()];
        for (part, blocks) in parts.iter_mut().zip(&self.grid).rev() {
            *part = left % blocks;
            left /= blocks;
        }
        let parts: Vec<String> = parts.iter().map(u32::to_string).collect();
        match parts.len() {
            0 => format!("('{}',)", self.name),
            _ => format!("('{}', {})", self.name, parts.join(", ")),
        }
    }

    /// A block as a task with a call of its own.
    pub(crate) fn task(&self, py: Python<'_>, block: u32, call: Call) -> PyResult<Delayed> {
        let key = self.key(py, block)?.unbind();
        let description = Description {
            identity: Identity::Block { hash: self.identity(block), key },
            kind: Kind::Call,
            label: Some(self.label.clone_ref(py)),
            length: None,
            origin: self.origin.as_ref().map(|origin| origin.clone_ref(py)),
            annotations: self.annotations.as_ref().map(|one| one.clone_ref(py)),
        };
        Ok(Delayed::new(description, call))
    }

    /// What makes a block the same task as another: equal for blocks of layers of one name.
    pub(crate) fn identity(&self, block: u32) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(&self.name_hash.to_le_bytes());
        hash.update(&block.to_le_bytes());
        hash.digest128()
    }
}

/// The call of a layer, from one in which tasks stand for its placeholders.
fn call_of_layer(py: Python<'_>, call: Call, grid: &[u32], is_cheap: bool) -> PyResult<LayerCall> {
    let Call { template, literals, dependencies } = call;
    let mut literals: Vec<Py<PyAny>> = literals.into_vec();
    let mut inputs: Vec<LayerInput> = Vec::new();
    let mut tables = Vec::new();
    let mut steps_of = Vec::with_capacity(dependencies.len());
    for dependency in &dependencies {
        let placeholder = match &*dependency.get().literals {
            [literal] => Some(literal.bind(py)),
            _ => None,
        };
        if let Some(along) = placeholder.and_then(|one| one.cast::<Along>().ok()) {
            let along = along.get();
            let len = grid.get(along.axis as usize).copied().unwrap_or(0);
            if along.values.len() != len as usize {
                return Err(PyValueError::new_err(format!(
                    "along_axis: {} values for {len} blocks along axis {}",
                    along.values.len(),
                    along.axis
                )));
            }
            tables.push((literals.len() as u32, len));
            literals.extend(along.values.iter().map(|value| value.clone_ref(py)));
            steps_of.push(Step::Along { axis: along.axis, table: tables.len() as u32 - 1 });
            continue;
        }
        let (source, axes, is_list) =
            if let Some(read) = placeholder.and_then(|one| one.cast::<Read>().ok()) {
                let read = read.get();
                (read.source.clone_ref(py), read.axes.clone(), read.is_list)
            } else {
                (Source::Task(dependency.clone_ref(py)), Vec::new(), false)
            };
        check_axes(&source, &axes, grid, is_list)?;
        inputs.push(LayerInput { source, axes, is_list });
        steps_of.push(Step::Input(inputs.len() as u32 - 1));
    }
    let steps = template
        .iter()
        .map(|op| match op.kind() {
            OpKind::Dependency(number) => steps_of[number as usize],
            kind => Step::Op(kind),
        })
        .collect();
    Ok(LayerCall { inputs, steps, tables, literals, is_cheap })
}

/// Whether what is read is there.
fn check_axes(source: &Source, axes: &[Axis], grid: &[u32], is_list: bool) -> PyResult<()> {
    let Source::Layer(layer) = source else { return Ok(()) };
    let layer = layer.get();
    for (axis, &blocks) in axes.iter().zip(&layer.grid) {
        let len = match axis.from {
            None => 1,
            Some(from) => grid.get(from as usize).copied().ok_or_else(|| {
                PyValueError::new_err(format!("read_blocks: axis {from} of a grid of {grid:?}"))
            })?,
        };
        let fits = match &axis.rows {
            None => len == blocks,
            Some(rows) => {
                rows.len() == len as usize
                    && rows.targets().iter().all(|&block| block < blocks)
                    && (is_list || rows.rows().all(|row| row.len() == 1))
            }
        };
        if !fits {
            return Err(PyValueError::new_err(format!(
                "read_blocks: {axis:?} does not lead from a grid of {grid:?} to one of {:?}",
                layer.grid
            )));
        }
    }
    Ok(())
}

impl Delayed {
    /// A block of a layer, as a task.
    pub(crate) fn of_block(layer: &Bound<'_, Layer>, block: u32) -> PyResult<Py<Self>> {
        let py = layer.py();
        let this = layer.get();
        let description = Description {
            identity: Identity::Block {
                hash: this.identity(block),
                key: this.key(py, block)?.unbind(),
            },
            kind: Kind::Block { layer: layer.clone().unbind(), block },
            label: Some(this.label.clone_ref(py)),
            length: None,
            origin: this.origin.as_ref().map(|origin| origin.clone_ref(py)),
            annotations: this.annotations.as_ref().map(|one| one.clone_ref(py)),
        };
        let nothing = Call {
            template: Box::default(),
            literals: Box::default(),
            dependencies: Box::default(),
        };
        Py::new(py, Self::new(description, nothing))
    }
}

thread_local! {
    /// Layers to drop, so that a long chain of them does not need a deep stack.
    static TO_DROP: RefCell<Option<Vec<Body>>> = const { RefCell::new(None) };
}

impl Drop for Layer {
    fn drop(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::Given(Vec::new()));
        let is_first = TO_DROP.with_borrow_mut(|to_drop| {
            let is_first = to_drop.is_none();
            to_drop.get_or_insert_default().push(body);
            is_first
        });
        if !is_first {
            return;
        }
        while let Some(next) =
            TO_DROP.with_borrow_mut(|waiting| waiting.as_mut().and_then(Vec::pop))
        {
            drop(next);
        }
        TO_DROP.set(None);
    }
}
