//! The one task that runs on a libuv thread, and the one error that leaves this crate.

use std::panic::{AssertUnwindSafe, catch_unwind};

use auspex_engine::{Code, Error};
use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, JsError, JsValue, Task, ValueType, sys};

/// What an export returns: its errors carry the engine's code as JavaScript's `error.code`.
pub type Result<T> = std::result::Result<T, Failure>;

/// The engine's error on its way out.
pub struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(error)
    }
}

impl ToNapiValue for Failure {
    unsafe fn to_napi_value(env: sys::napi_env, failure: Self) -> napi::Result<sys::napi_value> {
        Ok(JsError::from(failure).into_unknown(Env::from_raw(env)).raw())
    }
}

/// The code as napi wants it.
pub struct Status(&'static str);

impl AsRef<str> for Status {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<Failure> for JsError<Status> {
    fn from(Failure(error): Failure) -> Self {
        napi::Error::new(Status(error.code.as_str()), error.message).into()
    }
}

/// A value of JavaScript's, already made.
pub struct Made(sys::napi_value);

impl TypeName for Made {
    fn type_name() -> &'static str {
        "unknown"
    }
    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl ToNapiValue for Made {
    unsafe fn to_napi_value(_: sys::napi_env, made: Self) -> napi::Result<sys::napi_value> {
        Ok(made.0)
    }
}

type Deliver = Box<dyn FnOnce(Env) -> napi::Result<sys::napi_value> + Send>;
type Work = Box<dyn FnOnce() -> auspex_engine::Result<Deliver> + Send>;

/// Work for another thread and the conversion of what it gives, both with their panics caught: either would
/// otherwise unwind into libuv and end the process.
pub struct Job(Option<Work>);

impl Job {
    /// `work` owns all it reads; `deliver` runs on the JavaScript thread.
    pub fn run<T, V>(
        work: impl FnOnce() -> auspex_engine::Result<T> + Send + 'static,
        deliver: impl FnOnce(T) -> V + Send + 'static,
    ) -> AsyncTask<Job>
    where
        T: Send + 'static,
        V: ToNapiValue,
    {
        AsyncTask::new(Job(Some(Box::new(move || {
            let found = work()?;
            Ok(Box::new(move |env: Env| {
                // SAFETY: `env` is the environment that runs the completion of this task, on its own thread.
                unsafe { V::to_napi_value(env.raw(), deliver(found)) }
            }) as Deliver)
        }))))
    }
}

impl Task for Job {
    type Output = auspex_engine::Result<Deliver>;
    type JsValue = Made;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let work = self.0.take();
        Ok(caught(|| work.map_or_else(|| Err(internal("a task ran twice")), |work| work())).and_then(|done| done))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        match output.and_then(|deliver| caught(|| deliver(env))) {
            Ok(value) => value.map(Made),
            Err(error) => Err(JsError::from(Failure(error)).into_unknown(env).into()),
        }
    }
}

fn internal(message: impl Into<String>) -> Error {
    Error { code: Code::Internal, message: message.into() }
}

/// The result of `body`, or its panic as an error. What it captured is dropped either way and never seen again.
fn caught<T>(body: impl FnOnce() -> T) -> auspex_engine::Result<T> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        internal(text.unwrap_or("a panic without a message"))
    })
}
