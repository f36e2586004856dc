//! Looks for lazy objects in the arguments of a call, at any depth, and writes the call down as an
//! argument template.

use std::collections::HashSet;

use oxidask_graph::{Op, OpKind, Template, TemplateBuilder};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PySlice,
    PyString, PyTuple, PyType,
};

use crate::by_address::ByAddress;
use crate::contents;
use crate::delayed::Delayed;
use crate::distributed::future::Future;

/// A template with what its numbers stand for.
pub(crate) struct Call {
    pub(crate) template: Box<[Op]>,
    pub(crate) literals: Box<[Py<PyAny>]>,
    pub(crate) dependencies: Box<[Py<Delayed>]>,
}

impl Call {
    /// Whether it can be evaluated: the template fits its literals and dependencies.
    pub(crate) fn is_well_formed(&self) -> bool {
        Template(&self.template).is_well_formed()
            && self.template.iter().all(|op| match op.kind() {
                OpKind::Literal(number) => (number as usize) < self.literals.len(),
                OpKind::Dependency(place) => (place as usize) < self.dependencies.len(),
                _ => true,
            })
    }
}

/// Dependencies among which one is found by looking at all, sooner than in a table.
const FEW: usize = 8;

/// Writes a [`Call`].
pub(crate) struct CallBuilder<'py> {
    py: Python<'py>,
    template: TemplateBuilder,
    literals: Vec<Py<PyAny>>,
    dependencies: Vec<Py<Delayed>>,
    /// Their numbers by address, once there are more than `FEW`.
    numbers: ByAddress<u32>,
    /// Dependencies pushed, repeated ones too.
    lazy: usize,
    /// Makes one task of a collection that is not Delayed.
    task_of: Option<Bound<'py, PyAny>>,
}

/// What is left to do while a value is looked through.
enum Work<'py> {
    Value(Bound<'py, PyAny>),
    Close(Open<'py>),
}

/// A container whose parts are being looked through.
struct Open<'py> {
    /// What to use if nothing lazy is inside.
    whole: Bound<'py, PyAny>,
    kind: OpKind,
    template_len: usize,
    literals_len: usize,
    lazy: usize,
}

impl<'py> CallBuilder<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self {
            py,
            template: TemplateBuilder::default(),
            literals: Vec::new(),
            dependencies: Vec::new(),
            numbers: ByAddress::default(),
            lazy: 0,
            task_of: None,
        }
    }

    /// A builder that makes tasks of other collections by calling `task_of`.
    pub(crate) fn with_task_of(py: Python<'py>, task_of: Bound<'py, PyAny>) -> Self {
        Self { task_of: Some(task_of), ..Self::new(py) }
    }

    /// Adds a value that is lazy itself, or is used as it is.
    pub(crate) fn push_top(&mut self, value: Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(task) = value.cast::<Delayed>() {
            self.push_dependency(task);
        } else if value.is_instance_of::<Future>() {
            self.push_future(value);
        } else if is_collection(&value)? {
            self.push_collection(&value)?;
        } else {
            self.push_literal(value);
        }
        Ok(())
    }

    fn push_collection(&mut self, collection: &Bound<'py, PyAny>) -> PyResult<()> {
        let task_of = match &self.task_of {
            Some(task_of) => task_of.clone(),
            None => concrete_value_of(self.py)?,
        };
        let task = task_of.call1((collection,))?;
        self.push_dependency(task.cast::<Delayed>()?);
        Ok(())
    }

    pub(crate) fn push(&mut self, kind: OpKind) {
        self.template.push(kind);
    }

    pub(crate) fn push_literal(&mut self, value: Bound<'py, PyAny>) {
        self.template.push(OpKind::Literal(self.literals.len() as u32));
        self.literals.push(value.unbind());
    }

    pub(crate) fn push_dependency(&mut self, task: &Bound<'py, Delayed>) {
        let number = self.number_of(task).unwrap_or_else(|| self.add_dependency(task));
        self.template.push(OpKind::Dependency(number));
        self.lazy += 1;
    }

    /// A future stands for its result, like a task; which one it is, only its client knows.
    fn push_future(&mut self, future: Bound<'py, PyAny>) {
        self.push_literal(future);
        self.lazy += 1;
    }

    /// The number of a dependency that was added before.
    fn number_of(&self, task: &Bound<'py, Delayed>) -> Option<u32> {
        if self.numbers.is_empty() {
            let place = self.dependencies.iter().position(|other| other.is(task.as_any()));
            return place.map(|place| place as u32);
        }
        self.numbers.get(&(task.as_ptr() as usize)).copied()
    }

    fn add_dependency(&mut self, task: &Bound<'py, Delayed>) -> u32 {
        let number = self.dependencies.len() as u32;
        self.dependencies.push(task.clone().unbind());
        if self.dependencies.len() > FEW {
            // `skip` would go through all that is known, each time.
            let known = self.numbers.len();
            let new = self.dependencies[known..].iter().zip(known as u32..);
            self.numbers.extend(new.map(|(task, number)| (task.as_ptr() as usize, number)));
        }
        number
    }

    /// Puts the steps of another task's call here, as if it were written inside this one.
    pub(crate) fn push_call_of(&mut self, task: &Delayed) {
        let literals_from = self.literals.len() as u32;
        self.literals.extend(task.literals.iter().map(|literal| literal.clone_ref(self.py)));
        for op in &task.template {
            match op.kind() {
                OpKind::Dependency(number) => {
                    let dependency = task.dependencies()[number as usize].bind(self.py);
                    self.push_dependency(dependency);
                }
                OpKind::Literal(number) => {
                    self.template.push(OpKind::Literal(literals_from + number));
                }
                kind => self.template.push(kind),
            }
        }
    }

    /// Adds a value in which lazy objects stand for their results. Containers without any are used
    /// as they are, by reference.
    pub(crate) fn push_value(&mut self, value: Bound<'py, PyAny>) -> PyResult<()> {
        if is_atom(&value) {
            self.push_literal(value);
            return Ok(());
        }
        if let Ok(task) = value.cast::<Delayed>() {
            self.push_dependency(task);
            return Ok(());
        }
        if value.is_instance_of::<Future>() {
            self.push_future(value);
            return Ok(());
        }
        let mut work = vec![Work::Value(value)];
        let mut open: HashSet<usize> = HashSet::new();
        while let Some(next) = work.pop() {
            match next {
                Work::Value(value) => self.push_part(value, &mut work, &mut open)?,
                Work::Close(container) => {
                    open.remove(&(container.whole.as_ptr() as usize));
                    if self.lazy == container.lazy {
                        self.template.truncate(container.template_len);
                        self.literals.truncate(container.literals_len);
                        self.push_literal(container.whole);
                    } else {
                        self.template.push(container.kind);
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds a value without parts, or puts its parts on the list of work.
    fn push_part(
        &mut self,
        value: Bound<'py, PyAny>,
        work: &mut Vec<Work<'py>>,
        open: &mut HashSet<usize>,
    ) -> PyResult<()> {
        if is_atom(&value) {
            self.push_literal(value);
            return Ok(());
        }
        if let Ok(task) = value.cast::<Delayed>() {
            self.push_dependency(task);
            return Ok(());
        }
        if value.is_instance_of::<Future>() {
            self.push_future(value);
            return Ok(());
        }
        let value = without_iterator(value, self.task_of.is_some())?;
        if let Some((kind, parts)) = parts_of(self.py, &value)? {
            if parts.iter().all(is_atom) {
                self.push_literal(value);
                return Ok(());
            }
            if !open.insert(value.as_ptr() as usize) {
                return Err(PyValueError::new_err(format!(
                    "an argument of a delayed call contains itself: a {} that is nested in itself \
                     cannot be searched for lazy values; pass it with \
                     delayed(value, traverse=False)",
                    value.get_type().name()?
                )));
            }
            work.push(Work::Close(Open {
                whole: value,
                kind,
                template_len: self.template.len(),
                literals_len: self.literals.len(),
                lazy: self.lazy,
            }));
            work.extend(parts.into_iter().rev().map(Work::Value));
        } else if is_collection(&value)? {
            self.push_collection(&value)?;
        } else {
            self.push_literal(value);
        }
        Ok(())
    }

    /// Whether anything lazy was added.
    pub(crate) fn is_lazy(&self) -> bool {
        self.lazy > 0
    }

    pub(crate) fn finish(self) -> Call {
        Call {
            template: self.template.finish(),
            literals: self.literals.into_boxed_slice(),
            dependencies: self.dependencies.into_boxed_slice(),
        }
    }
}

/// Whether a value is of a type that has no parts and is never lazy, at a glance.
fn is_atom(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyComplex>()
}

type Parts<'py> = Vec<Bound<'py, PyAny>>;

/// The parts of a container, and the step that puts them together again.
fn parts_of<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<(OpKind, Parts<'py>)>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        let parts: Parts<'py> = list.iter().collect();
        return Ok(Some((OpKind::List(parts.len() as u32), parts)));
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let parts: Parts<'py> = tuple.iter().collect();
        return Ok(Some((OpKind::Tuple(parts.len() as u32), parts)));
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let entries = contents::entries(dict)?.into_iter();
        let parts: Parts<'py> = entries.flat_map(|(key, value)| [key, value]).collect();
        return Ok(Some((OpKind::Dict(parts.len() as u32 / 2), parts)));
    }
    if let Ok(set) = value.cast_exact::<PySet>() {
        let parts = contents::elements(set)?;
        return Ok(Some((OpKind::Set(parts.len() as u32), parts)));
    }
    if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
        let plain = PySet::new(py, set)?.into_any();
        return Ok(Some(called_with(py.get_type::<PyFrozenSet>().into_any(), plain)));
    }
    if let Ok(slice) = value.cast_exact::<PySlice>() {
        let parts = vec![
            slice.getattr(intern!(py, "start"))?,
            slice.getattr(intern!(py, "stop"))?,
            slice.getattr(intern!(py, "step"))?,
        ];
        return Ok(Some((OpKind::Slice, parts)));
    }
    parts_of_object(py, value)
}

/// `function(argument)`, as parts of a call.
fn called_with<'py>(
    function: Bound<'py, PyAny>,
    argument: Bound<'py, PyAny>,
) -> (OpKind, Parts<'py>) {
    (OpKind::Call(1), vec![function, argument])
}

/// The parts of a dataclass instance, a namedtuple or an `OrderedDict`.
fn parts_of_object<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<(OpKind, Parts<'py>)>> {
    let kind = value.get_type();
    if value.is_instance_of::<PyTuple>() {
        if kind.hasattr(intern!(py, "_fields"))? && kind.hasattr(intern!(py, "_make"))? {
            let fields: Parts<'py> = value.cast::<PyTuple>()?.iter().collect();
            let make = kind.getattr(intern!(py, "_make"))?;
            return Ok(Some(called_with(make, PyList::new(py, fields)?.into_any())));
        }
        return Ok(None);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let ordered = py.import(intern!(py, "collections"))?.getattr(intern!(py, "OrderedDict"))?;
        if kind.is(&ordered) {
            return Ok(Some(called_with(kind.into_any(), dict.copy()?.into_any())));
        }
        return Ok(None);
    }
    if value.is_instance_of::<PyType>() {
        return Ok(None);
    }
    if let Some(fields) = kind.getattr_opt(intern!(py, "__dataclass_fields__"))? {
        let values = PyDict::new(py);
        for name in fields.cast::<PyDict>()?.keys() {
            if let Some(field) = value.getattr_opt(name.cast::<PyString>()?)? {
                values.set_item(name, field)?;
            }
        }
        // What an instance has beside its fields goes with it.
        if let Some(others) = value.getattr_opt(intern!(py, "__dict__"))? {
            values.update(others.cast::<PyDict>()?.as_mapping())?;
        }
        let rebuild = rebuild_dataclass(py)?.bind(py).clone();
        return Ok(Some((OpKind::Call(2), vec![rebuild, kind.into_any(), values.into_any()])));
    }
    Ok(None)
}

/// An iterator over a builtin container as such a container, for looking through it uses it up.
/// Arguments of `compute` may be other iterators too (`every`); they become lists.
fn without_iterator(value: Bound<'_, PyAny>, every: bool) -> PyResult<Bound<'_, PyAny>> {
    let py = value.py();
    let name = value.get_type().name()?;
    let container = match name.to_cow()?.as_ref() {
        "list_iterator" => py.get_type::<PyList>(),
        "tuple_iterator" => py.get_type::<PyTuple>(),
        "set_iterator" => py.get_type::<PySet>(),
        "generator" | "map" | "zip" | "filter" | "enumerate" | "dict_keyiterator"
        | "dict_valueiterator" | "dict_itemiterator"
            if every =>
        {
            py.get_type::<PyList>()
        }
        _ => return Ok(value),
    };
    container.call1((value,))
}

fn rebuild_dataclass(py: Python<'_>) -> PyResult<&Py<PyAny>> {
    static HELPER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    HELPER.get_or_try_init(py, || Ok(py.import("oxidask._rebuild")?.getattr("dataclass")?.unbind()))
}

/// Whether a value follows the collection protocol.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn is_collection(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let kind = value.get_type();
    if kind.getattr_opt(intern!(py, "__dask_graph__"))?.is_none() {
        return Ok(false);
    }
    if value.is_instance_of::<Delayed>() {
        return Ok(true);
    }
    Ok(!value.call_method0(intern!(py, "__dask_graph__"))?.is_none())
}

/// The Python function that makes one task of a collection that is not Delayed.
fn concrete_value_of(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("oxidask.base")?.getattr("_concrete_value_of")
}
