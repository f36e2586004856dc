//! The class `Delayed`: one task, lazily, with references to the tasks that it needs.
//!
//! Making one copies nothing and merges nothing; the graph is what its references span. It is
//! immutable, so it takes part in no reference cycle by itself.

use std::cell::RefCell;
use std::sync::atomic::AtomicU32;

use oxidask_graph::{Op, OpKind};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};
use xxhash_rust::xxh3::Xxh3;

use crate::arguments::{Call, CallBuilder};
use crate::identity::{Identity, check_key, random_identity};
use crate::layer::Layer;
use crate::origin::Origin;
use crate::tokenize::token;

/// What a task is besides its call; decides what calling it means.
pub(crate) enum Kind {
    /// A value wrapped by `delayed`; calling it calls the value, with these settings.
    Leaf { pure: Option<bool>, nout: Option<u32> },
    /// An attribute of another task; calling it calls the method in one task.
    Attribute,
    /// A call.
    Call,
    /// A block of a layer, which has the call.
    Block { layer: Py<Layer>, block: u32 },
}

impl Kind {
    /// The inverse of `Delayed::kind_parts`.
    pub(crate) fn from_parts((tag, pure, nout): (u8, Option<bool>, Option<u32>)) -> Self {
        match tag {
            0 => Self::Leaf { pure, nout },
            1 => Self::Attribute,
            _ => Self::Call,
        }
    }
}

/// A lazy value: one task that runs when its result is asked for.
///
/// Made by `delayed`, by calling a delayed function, and by operators, attributes and items of
/// other lazy values. Nothing runs until `compute` or `persist`.
#[pyclass(frozen, weakref, subclass, module = "oxidask.delayed")]
pub(crate) struct Delayed {
    pub(crate) identity: Identity,
    pub(crate) kind: Kind,
    /// The first part of the key; `None` stands for the name of the function.
    label: Option<Py<PyString>>,
    pub(crate) template: Box<[Op]>,
    pub(crate) literals: Box<[Py<PyAny>]>,
    dependencies: Box<[Py<Delayed>]>,
    length: Option<u32>,
    pub(crate) origin: Option<Origin>,
    pub(crate) annotations: Option<Py<PyDict>>,
    /// Whether a layer is among what it needs.
    pub(crate) has_layers: bool,
    /// Its number in the graph where it was last put; see `Numbers` in `graph.rs`.
    pub(crate) place: AtomicU32,
}

/// All but the call itself.
pub(crate) struct Description {
    pub(crate) identity: Identity,
    pub(crate) kind: Kind,
    pub(crate) label: Option<Py<PyString>>,
    pub(crate) length: Option<u32>,
    pub(crate) origin: Option<Origin>,
    pub(crate) annotations: Option<Py<PyDict>>,
}

impl Delayed {
    pub(crate) fn new(description: Description, call: Call) -> Self {
        let Description { identity, kind, label, length, origin, annotations } = description;
        let Call { template, literals, dependencies } = call;
        let place = AtomicU32::new(u32::MAX);
        let has_layers = matches!(kind, Kind::Block { .. })
            || dependencies.iter().any(|dependency| dependency.get().has_layers);
        Self {
            identity,
            kind,
            label,
            template,
            literals,
            dependencies,
            length,
            origin,
            annotations,
            has_layers,
            place,
        }
    }

    pub(crate) fn dependencies(&self) -> &[Py<Self>] {
        &self.dependencies
    }

    pub(crate) fn length(&self) -> Option<u32> {
        self.length
    }

    /// What tasks of one group have in common: the function that they call, or their label.
    pub(crate) fn group_key(&self) -> (usize, usize) {
        let function = match self.template.first().map(|op| op.kind()) {
            Some(OpKind::Literal(number)) if self.template.len() > 1 => {
                self.literals[number as usize].as_ptr() as usize
            }
            _ => 0,
        };
        (function, self.label.as_ref().map_or(0, |label| label.as_ptr() as usize))
    }

    /// The same task with another call.
    pub(crate) fn with_call(&self, py: Python<'_>, call: Call) -> PyResult<Self> {
        let description = Description {
            identity: self.identity.clone_ref(py),
            kind: Kind::Call,
            label: Some(PyString::new(py, &self.prefix(py)?).unbind()),
            length: self.length,
            origin: self.origin.as_ref().map(|origin| origin.clone_ref(py)),
            annotations: self.annotations.as_ref().map(|annotations| annotations.clone_ref(py)),
        };
        Ok(Self::new(description, call))
    }

    /// Its call with other tasks in the place of its inputs.
    pub(crate) fn call_with(&self, py: Python<'_>, inputs: Vec<Py<Self>>) -> Call {
        Call {
            template: self.template.clone(),
            literals: self.literals.iter().map(|literal| literal.clone_ref(py)).collect(),
            dependencies: inputs.into_boxed_slice(),
        }
    }

    /// The same task under another key and with another call.
    pub(crate) fn renamed(
        &self,
        py: Python<'_>,
        identity: Identity,
        label: Option<Py<PyString>>,
        call: Call,
    ) -> Self {
        let description = Description {
            identity,
            kind: Kind::from_parts(self.kind_parts()),
            label,
            length: self.length,
            origin: self.origin.as_ref().map(|origin| origin.clone_ref(py)),
            annotations: self.annotations.as_ref().map(|annotations| annotations.clone_ref(py)),
        };
        Self::new(description, call)
    }

    pub(crate) fn label(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.label.as_ref().map(|label| label.clone_ref(py))
    }

    /// The same task with another length.
    pub(crate) fn copy_with_length(&self, py: Python<'_>, length: Option<u32>) -> PyResult<Self> {
        let call = Call {
            template: self.template.clone(),
            literals: self.literals.iter().map(|literal| literal.clone_ref(py)).collect(),
            dependencies: self.dependencies.iter().map(|task| task.clone_ref(py)).collect(),
        };
        let mut copy = self.with_call(py, call)?;
        if let Kind::Block { layer, block } = &self.kind {
            copy.kind = Kind::Block { layer: layer.clone_ref(py), block: *block };
            copy.has_layers = true;
        }
        copy.length = length.or(copy.length);
        Ok(copy)
    }

    /// What it is, as plain values.
    pub(crate) fn kind_parts(&self) -> (u8, Option<bool>, Option<u32>) {
        match self.kind {
            Kind::Leaf { pure, nout } => (0, pure, nout),
            Kind::Attribute => (1, None, None),
            Kind::Call | Kind::Block { .. } => (2, None, None),
        }
    }

    /// The first part of the key.
    pub(crate) fn prefix(&self, py: Python<'_>) -> PyResult<String> {
        if let Some(label) = &self.label {
            return Ok(label.bind(py).to_cow()?.into_owned());
        }
        let Some(OpKind::Literal(number)) = self.template.first().map(|op| op.kind()) else {
            return Ok("task".to_owned());
        };
        let function = self.literals[number as usize].bind(py);
        py.import(intern!(py, "oxidask._names"))?
            .getattr(intern!(py, "funcname"))?
            .call1((function,))?
            .extract()
    }

    pub(crate) fn key_object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.identity {
            Identity::Named(key) | Identity::Block { key, .. } => Ok(key.bind(py).clone()),
            identity => Ok(identity.key(py, &self.prefix(py)?)),
        }
    }

    /// The key as text.
    pub(crate) fn key_text(&self, py: Python<'_>) -> String {
        self.key_object(py)
            .and_then(|key| key.str()?.extract())
            .unwrap_or_else(|_| "a task without printable key".to_owned())
    }

    /// The content hash of a call: of its template, its literals and the keys that it needs.
    fn token_of_call(py: Python<'_>, call: &Call) -> PyResult<u128> {
        let mut hash = Xxh3::new();
        for op in &call.template {
            hash.update(&op.bits().to_le_bytes());
        }
        let literals: Vec<Bound<'_, PyAny>> =
            call.literals.iter().map(|literal| literal.bind(py).clone()).collect();
        hash.update(&token(py, &literals, None)?.to_le_bytes());
        for dependency in &call.dependencies {
            hash.update(&dependency.get().identity.hash(py)?.to_le_bytes());
        }
        Ok(hash.digest128())
    }

    /// A new task for a call that the user has just made.
    fn made_here<'py>(
        py: Python<'py>,
        builder: CallBuilder<'py>,
        identity: NewIdentity,
        kind: Kind,
        label: Option<Py<PyString>>,
        length: Option<u32>,
    ) -> PyResult<Bound<'py, Self>> {
        let call = builder.finish();
        let identity = match identity {
            NewIdentity::Random => random_identity()?,
            NewIdentity::Content => Identity::Token(Self::token_of_call(py, &call)?),
            NewIdentity::Named(key) => Identity::Named(key),
        };
        let origin = Origin::here(py);
        let annotations = crate::annotations::in_force(py)?;
        Bound::new(
            py,
            Self::new(Description { identity, kind, label, length, origin, annotations }, call),
        )
    }

    /// A pure call of a function with values of which some are lazy.
    fn pure_call<'py>(
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        values: impl IntoIterator<Item = Bound<'py, PyAny>>,
        kind: Kind,
        label: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, Self>> {
        let mut builder = CallBuilder::new(py);
        builder.push_literal(function.clone());
        let mut count = 0;
        for value in values {
            builder.push_value(value)?;
            count += 1;
        }
        builder.push(OpKind::Call(count));
        let label = Some(label.clone().unbind());
        Self::made_here(py, builder, NewIdentity::Content, kind, label, None)
    }
}

/// How a new task is to be called.
enum NewIdentity {
    Random,
    Content,
    Named(Py<PyAny>),
}

fn resolve_pure(py: Python<'_>, given: Option<bool>, of_leaf: Option<bool>) -> PyResult<bool> {
    match given.or(of_leaf) {
        Some(pure) => Ok(pure),
        None => crate::settings::is_delayed_pure(py),
    }
}

/// Wraps a value; what `oxidask.delayed.delayed` calls.
#[pyfunction]
#[pyo3(signature = (value, name, pure, nout, traverse))]
pub(crate) fn make_leaf<'py>(
    py: Python<'py>,
    value: Bound<'py, PyAny>,
    name: Option<Bound<'py, PyAny>>,
    pure: Option<bool>,
    nout: Option<Bound<'py, PyAny>>,
    traverse: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if value.is_instance_of::<Delayed>() {
        return Ok(value);
    }
    let nout = nout.map(|nout| check_nout(&nout)).transpose()?.flatten();
    let is_callable = value.is_callable();
    let mut builder = CallBuilder::new(py);
    if traverse && !is_callable {
        builder.push_value(value.clone())?;
    } else {
        builder.push_literal(value.clone());
    }
    let label = if is_callable { None } else { Some(value.get_type().name()?.unbind()) };
    let identity = match name {
        Some(name) => {
            check_key(&name, "delayed(name=)")?;
            NewIdentity::Named(name.unbind())
        }
        None if builder.is_lazy() || resolve_pure(py, pure, None)? => NewIdentity::Content,
        None => NewIdentity::Random,
    };
    let length = if is_callable { None } else { nout };
    let kind = Kind::Leaf { pure, nout };
    Ok(Delayed::made_here(py, builder, identity, kind, label, length)?.into_any())
}

/// `nout` as a number; `None` where it says nothing.
fn check_nout(nout: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    let number: Option<i64> = nout.extract().ok();
    match number {
        _ if nout.is_none() => Ok(None),
        Some(number)
            if u32::try_from(number).is_ok() && !nout.is_instance_of::<pyo3::types::PyBool>() =>
        {
            Ok(u32::try_from(number).ok())
        }
        _ => Err(PyValueError::new_err(format!(
            "delayed(nout=): the number of outputs is None or an int from 0, not {}",
            nout.repr()?
        ))),
    }
}

/// The functions of the module `operator`, looked up once.
fn operator_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || Ok::<_, PyErr>(py.import("operator")?.unbind()))?;
    module.bind(py).getattr(name)
}

fn binary<'py>(
    slf: &Bound<'py, Delayed>,
    operator: &str,
    right: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Delayed>> {
    operator_call(slf.py(), operator, [slf.clone().into_any(), right])
}

fn reflected<'py>(
    slf: &Bound<'py, Delayed>,
    operator: &str,
    left: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Delayed>> {
    operator_call(slf.py(), operator, [left, slf.clone().into_any()])
}

fn operator_call<'py, const N: usize>(
    py: Python<'py>,
    name: &str,
    values: [Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, Delayed>> {
    let function = operator_function(py, name)?;
    let label = PyString::intern(py, name.trim_end_matches('_'));
    Delayed::pure_call(py, &function, values, Kind::Call, &label)
}

#[pymethods]
impl Delayed {
    /// A lazy value from the name of an output and a graph.
    #[new]
    #[pyo3(signature = (key, dsk, length=None, layer=None))]
    fn from_graph(
        py: Python<'_>,
        key: Bound<'_, PyAny>,
        dsk: Bound<'_, PyAny>,
        length: Option<Bound<'_, PyAny>>,
        layer: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        // The name of a layer says where in a graph of layers the key is; here each key is there.
        drop(layer);
        let length = length.map(|length| check_nout(&length)).transpose()?.flatten();
        crate::raw_graph::task_of_graph(py, &key, &dsk, length)
    }

    /// The name of its result in the graph.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.key_object(py)
    }

    /// Where it was made: file name and line, or None.
    #[getter]
    fn _origin(&self, py: Python<'_>) -> PyResult<Option<(String, i32)>> {
        let Some(origin) = &self.origin else { return Ok(None) };
        let file = origin.code.bind(py).getattr(intern!(py, "co_filename"))?.extract()?;
        Ok(Some((file, origin.line())))
    }

    #[getter]
    fn _prefix(&self, py: Python<'_>) -> PyResult<String> {
        self.prefix(py)
    }

    #[getter]
    fn _annotations(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        self.annotations.as_ref().map(|annotations| annotations.clone_ref(py))
    }

    #[getter]
    fn _length(&self) -> Option<u32> {
        self.length
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.get();
        let mut options = CallOptions::default();
        let kwargs = kwargs.map(|kwargs| options.take_from(kwargs)).transpose()?.flatten();
        let mut builder = CallBuilder::new(py);
        let (mut pure, mut length, mut label) = (None, None, None);
        match &this.kind {
            Kind::Leaf { pure: of_leaf, nout } => {
                (pure, length) = (*of_leaf, *nout);
                builder.push_call_of(this);
            }
            Kind::Attribute => {
                let name = this.literals.last().expect("getattr and a name");
                label = Some(name.bind(py).cast::<PyString>()?.clone().unbind());
                builder.push_call_of(this);
            }
            Kind::Call | Kind::Block { .. } => builder.push_dependency(slf),
        }
        for value in args.iter() {
            builder.push_value(value)?;
        }
        let positional = args.len() as u32;
        match kwargs {
            None => builder.push(OpKind::Call(positional)),
            Some(kwargs) => {
                for value in kwargs.values() {
                    builder.push_value(value)?;
                }
                builder.push_literal(PyTuple::new(py, kwargs.keys())?.into_any());
                builder.push(OpKind::CallKeywords(positional + kwargs.len() as u32));
            }
        }
        let identity = match options.key_name {
            Some(key) => NewIdentity::Named(key),
            None if resolve_pure(py, options.pure, pure)? => NewIdentity::Content,
            None => NewIdentity::Random,
        };
        Self::made_here(py, builder, identity, Kind::Call, label, length)
    }

    fn __getattr__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let text = name.to_cow()?;
        if text.starts_with('_') {
            return Err(PyAttributeError::new_err(format!(
                "a Delayed has no attribute {text:?}: names with a leading underscore are not \
                 looked up lazily; use delayed(getattr)(value, {text:?})"
            )));
        }
        let name = if text == "visualise" {
            warn_about_visualise(py)?;
            return slf.as_any().getattr(intern!(py, "visualize"));
        } else {
            name
        };
        let getattr = builtin(py, "getattr")?;
        let values = [slf.clone().into_any(), name.clone().into_any()];
        let task = Self::pure_call(py, &getattr, values, Kind::Attribute, intern!(py, "getattr"))?;
        Ok(task.into_any())
    }

    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        index: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        operator_call(slf.py(), "getitem", [slf.clone().into_any(), index])
    }

    fn __setattr__(&self, name: &Bound<'_, PyString>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "a Delayed is immutable: cannot set the attribute {:?}; do it in a delayed function \
             that returns the changed object",
            name.to_cow()?
        )))
    }

    fn __delattr__(&self, name: &Bound<'_, PyString>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "a Delayed is immutable: cannot delete the attribute {:?}",
            name.to_cow()?
        )))
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "a Delayed is immutable: cannot set item {}; do it in a delayed function that returns \
             the changed object",
            index.repr()?
        )))
    }

    fn __delitem__(&self, index: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "a Delayed is immutable: cannot delete item {}",
            index.repr()?
        )))
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Some(length) = slf.get().length else {
            return Err(PyTypeError::new_err(
                "a Delayed of unknown length cannot be iterated over; say how many outputs it has \
                 with delayed(nout=), or iterate in a delayed function",
            ));
        };
        let items = (0..length)
            .map(|index| Self::__getitem__(slf, index.into_pyobject(py)?.into_any()))
            .collect::<PyResult<Vec<_>>>()?;
        Ok(PyTuple::new(py, items)?.try_iter()?.into_any())
    }

    fn __len__(&self) -> PyResult<usize> {
        self.length.map(|length| length as usize).ok_or_else(|| {
            PyTypeError::new_err(
                "a Delayed of unknown length has no len(); say how many outputs it has with \
                 delayed(nout=), or use delayed(len)(value)",
            )
        })
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(
            "the truth of a Delayed is not known before it is computed; compute() it first, or \
             decide in a delayed function",
        ))
    }

    fn __contains__(&self, _item: &Bound<'_, PyAny>) -> PyResult<bool> {
        Err(PyTypeError::new_err(
            "what a Delayed contains is not known before it is computed; use \
             delayed(operator.contains)(value, item)",
        ))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.key_object(py)?.hash()
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, Self>> {
        let name = match operator {
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
        };
        operator_call(slf.py(), name, [slf.clone().into_any(), other])
    }

    fn __add__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "add", other)
    }

    fn __radd__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "add", other)
    }

    fn __sub__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "sub", other)
    }

    fn __rsub__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "sub", other)
    }

    fn __mul__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "mul", other)
    }

    fn __rmul__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "mul", other)
    }

    fn __truediv__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "truediv", other)
    }

    fn __rtruediv__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "truediv", other)
    }

    fn __floordiv__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "floordiv", other)
    }

    fn __rfloordiv__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "floordiv", other)
    }

    fn __mod__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "mod", other)
    }

    fn __rmod__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "mod", other)
    }

    fn __matmul__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "matmul", other)
    }

    fn __rmatmul__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "matmul", other)
    }

    fn __lshift__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "lshift", other)
    }

    fn __rlshift__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "lshift", other)
    }

    fn __rshift__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "rshift", other)
    }

    fn __rrshift__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "rshift", other)
    }

    fn __and__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "and_", other)
    }

    fn __rand__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "and_", other)
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        binary(slf, "or_", other)
    }

    fn __ror__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "or_", other)
    }

    fn __xor__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        binary(slf, "xor", other)
    }

    fn __rxor__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        reflected(slf, "xor", other)
    }

    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        exponent: Bound<'py, PyAny>,
        modulo: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        power(slf.py(), slf.clone().into_any(), exponent, modulo)
    }

    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        base: Bound<'py, PyAny>,
        modulo: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        power(slf.py(), base, slf.clone().into_any(), modulo)
    }

    fn __divmod__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let values = [slf.clone().into_any(), other];
        Self::pure_call(py, &builtin(py, "divmod")?, values, Kind::Call, intern!(py, "divmod"))
    }

    fn __rdivmod__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let values = [other, slf.clone().into_any()];
        Self::pure_call(py, &builtin(py, "divmod")?, values, Kind::Call, intern!(py, "divmod"))
    }

    fn __neg__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        operator_call(slf.py(), "neg", [slf.clone().into_any()])
    }

    fn __pos__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        operator_call(slf.py(), "pos", [slf.clone().into_any()])
    }

    fn __invert__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        operator_call(slf.py(), "invert", [slf.clone().into_any()])
    }

    fn __abs__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        operator_call(slf.py(), "abs", [slf.clone().into_any()])
    }

    #[pyo3(signature = (digits=None))]
    fn __round__<'py>(
        slf: &Bound<'py, Self>,
        digits: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let values = [slf.clone().into_any()].into_iter().chain(digits);
        Self::pure_call(py, &builtin(py, "round")?, values, Kind::Call, intern!(py, "round"))
    }

    /// Binds like a function, so that a delayed method of a class works.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<Bound<'py, PyAny>>,
        _owner: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match instance {
            Some(instance) if !instance.is_none() => py
                .import(intern!(py, "types"))?
                .getattr(intern!(py, "MethodType"))?
                .call1((slf, instance)),
            _ => Ok(slf.clone().into_any()),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Delayed({})", self.key_object(py)?.repr()?))
    }

    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import(intern!(slf.py(), "oxidask._names"))?
            .call_method1("public_names", (slf.get_type(),))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = slf.py();
        let rebuild = py.import("oxidask._core")?.getattr("task_from_parts")?;
        let parts = crate::raw_graph::parts_of_task(py, slf)?;
        Ok((rebuild, (parts,).into_pyobject(py)?.into_any()))
    }

    /// Immutable: a copy is the object itself.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for literal in &self.literals {
            visit.call(literal)?;
        }
        for dependency in &self.dependencies {
            visit.call(dependency)?;
        }
        if let Identity::Named(key) = &self.identity {
            visit.call(key)?;
        }
        if let Kind::Block { layer, .. } = &self.kind {
            visit.call(layer)?;
        }
        visit.call(&self.annotations)
    }
}

fn warn_about_visualise(py: Python<'_>) -> PyResult<()> {
    py.import("oxidask.delayed")?.call_method0("_warn_about_visualise")?;
    Ok(())
}

fn builtin<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || Ok::<_, PyErr>(py.import("builtins")?.unbind()))?;
    module.bind(py).getattr(name)
}

fn power<'py>(
    py: Python<'py>,
    base: Bound<'py, PyAny>,
    exponent: Bound<'py, PyAny>,
    modulo: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Delayed>> {
    let modulo = modulo.filter(|modulo| !modulo.is_none());
    let values = [base, exponent].into_iter().chain(modulo);
    Delayed::pure_call(py, &builtin(py, "pow")?, values, Kind::Call, intern!(py, "pow"))
}

/// Keyword arguments of a call that are not for the function.
#[derive(Default)]
struct CallOptions {
    pure: Option<bool>,
    key_name: Option<Py<PyAny>>,
}

impl CallOptions {
    /// Takes our keywords out; what is left is for the function.
    fn take_from<'py>(
        &mut self,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = kwargs.py();
        let (pure, key_name) = (intern!(py, "pure"), intern!(py, "dask_key_name"));
        if !kwargs.contains(pure)? && !kwargs.contains(key_name)? {
            return Ok(Some(kwargs.clone()));
        }
        let left = kwargs.copy()?;
        if let Some(value) = left.get_item(pure)? {
            self.pure = value.extract()?;
            left.del_item(pure)?;
        }
        if let Some(key) = left.get_item(key_name)? {
            if !key.is_none() {
                check_key(&key, "dask_key_name")?;
                self.key_name = Some(key.unbind());
            }
            left.del_item(key_name)?;
        }
        Ok(Some(left).filter(|left| !left.is_empty()))
    }
}

type Dependencies = Box<[Py<Delayed>]>;

thread_local! {
    /// What dropped tasks needed and is to be dropped next; `None` while nobody drops.
    static TO_DROP: RefCell<Option<Vec<Dependencies>>> = const { RefCell::new(None) };
}

/// A chain of a million tasks is dropped by a loop: the first to go takes the others with it.
impl Drop for Delayed {
    fn drop(&mut self) {
        if self.dependencies.is_empty() {
            return;
        }
        let dependencies = std::mem::take(&mut self.dependencies);
        let is_first = TO_DROP.with_borrow_mut(|to_drop| {
            let is_first = to_drop.is_none();
            to_drop.get_or_insert_default().push(dependencies);
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
