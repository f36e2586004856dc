//! One task, a tuple of tasks, or a list of tasks: what a call reads, and what a user wants.

use std::any::Any;
use std::sync::Arc;

use crate::closures::Closures;
use crate::graph::Task;

/// One task, a tuple of up to six, a list of tasks with results of one type, or nothing, `()`.
///
/// This trait is sealed: it is implemented here only.
pub trait Bundle: sealed::Sealed + Send + 'static {
    /// References to the results, in the same shape.
    type References<'a>;
    /// The results, kept alive, in the same shape.
    type Results;
    #[doc(hidden)]
    type Held;
    #[doc(hidden)]
    fn tasks(&self, visit: &mut dyn FnMut(u32, u32));
    #[doc(hidden)]
    fn hold(&self, results: &Closures) -> Self::Held;
    #[doc(hidden)]
    fn references(held: &Self::Held) -> Self::References<'_>;
    #[doc(hidden)]
    fn results(held: Self::Held) -> Self::Results;
}

mod sealed {
    pub trait Sealed {}
}

impl<T: Any + Send + Sync> sealed::Sealed for Task<T> {}

impl<T: Any + Send + Sync> Bundle for Task<T> {
    type References<'a> = &'a T;
    type Results = Arc<T>;
    type Held = Arc<T>;

    fn tasks(&self, visit: &mut dyn FnMut(u32, u32)) {
        visit(self.number, self.graph);
    }

    fn hold(&self, results: &Closures) -> Arc<T> {
        results.result(self.number).downcast().expect("the handle has the type of the result")
    }

    fn references(held: &Arc<T>) -> &T {
        held
    }

    fn results(held: Arc<T>) -> Arc<T> {
        held
    }
}

impl<T: Any + Send + Sync> sealed::Sealed for Vec<Task<T>> {}

impl<T: Any + Send + Sync> Bundle for Vec<Task<T>> {
    type References<'a> = Vec<&'a T>;
    type Results = Vec<Arc<T>>;
    type Held = Vec<Arc<T>>;

    fn tasks(&self, visit: &mut dyn FnMut(u32, u32)) {
        for task in self {
            task.tasks(visit);
        }
    }

    fn hold(&self, results: &Closures) -> Vec<Arc<T>> {
        self.iter().map(|task| task.hold(results)).collect()
    }

    fn references(held: &Vec<Arc<T>>) -> Vec<&T> {
        held.iter().map(|result| &**result).collect()
    }

    fn results(held: Vec<Arc<T>>) -> Vec<Arc<T>> {
        held
    }
}

macro_rules! tuples {
    ($(($($name:ident),*);)*) => {$(
        impl<$($name: Any + Send + Sync),*> sealed::Sealed for ($(Task<$name>,)*) {}

        #[allow(
            non_snake_case,
            clippy::unused_unit,
            reason = "values are named as their types are; the empty tuple has none"
        )]
        impl<$($name: Any + Send + Sync),*> Bundle for ($(Task<$name>,)*) {
            type References<'a> = ($(&'a $name,)*);
            type Results = ($(Arc<$name>,)*);
            type Held = ($(Arc<$name>,)*);

            fn tasks(&self, _visit: &mut dyn FnMut(u32, u32)) {
                let ($($name,)*) = self;
                $($name.tasks(_visit);)*
            }

            fn hold(&self, _results: &Closures) -> Self::Held {
                let ($($name,)*) = self;
                ($($name.hold(_results),)*)
            }

            fn references(held: &Self::Held) -> Self::References<'_> {
                let ($($name,)*) = held;
                ($(&**$name,)*)
            }

            fn results(held: Self::Held) -> Self::Results {
                held
            }
        }
    )*};
}

tuples! {
    ();
    (A);
    (A, B);
    (A, B, C);
    (A, B, C, D);
    (A, B, C, D, E);
    (A, B, C, D, E, F);
}
