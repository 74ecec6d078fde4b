//! Float arrays in, typed arrays and texts out: the one place that touches memory of JavaScript's.

use auspex_engine::{Code, Error};
use napi::bindgen_prelude::{FromNapiValue, Function, JsObjectValue, ToNapiValue, TypeName, ValidateNapiValue};
use napi::{Env, JsError, JsValue, ValueType, check_status, sys};

use crate::job::Failure;

/// A `Float32Array` argument of which nothing has been read. Converting arguments can run JavaScript (getters,
/// proxies), and JavaScript can detach or shrink the array: only `read` asks where its floats are.
pub struct Floats {
    env: sys::napi_env,
    value: sys::napi_value,
}

impl Floats {
    /// Calls `copy` with where the floats lie now and how many there are. Nothing between the question and the
    /// return of `copy` runs JavaScript, so on this thread nothing can detach, shrink or collect them; a shared
    /// buffer may be written to by another thread meanwhile.
    pub fn read<T>(
        &self,
        copy: impl FnOnce(*const f32, usize) -> auspex_engine::Result<T>,
    ) -> auspex_engine::Result<T> {
        let Some((data, len)) = locate::<f32>(self.env, self.value) else {
            return Err(Error { code: Code::Internal, message: "expected a Float32Array".into() });
        };
        copy(data, len)
    }

    /// A copy for another thread to read, or for this one while JavaScript may write.
    pub fn copy(&self) -> auspex_engine::Result<Vec<f32>> {
        self.read(|data, len| {
            let mut copy = Vec::new();
            if copy.try_reserve_exact(len).is_err() {
                return Err(Error { code: Code::Memory, message: format!("no memory for a copy of {len} floats") });
            }
            // SAFETY: `data` is readable for `len` floats (`read`), `copy` has room for them and is not theirs;
            // a float torn by another thread is still a float.
            unsafe { std::ptr::copy_nonoverlapping(data, copy.as_mut_ptr(), len) };
            // SAFETY: the first `len` floats were just written.
            unsafe { copy.set_len(len) };
            Ok(copy)
        })
    }
}

impl FromNapiValue for Floats {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        Ok(Floats { env, value })
    }
}

impl TypeName for Floats {
    fn type_name() -> &'static str {
        "Float32Array"
    }
    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for Floats {}

/// Numbers that become a typed array in memory of V8's own.
pub struct Copied<T>(pub Vec<T>);

/// A number that a typed array holds.
pub trait Element: Copy {
    /// The constructor's name.
    const ARRAY: &'static str;
    /// What Node-API calls the type.
    const KIND: i32;
}
impl Element for f32 {
    const ARRAY: &'static str = "Float32Array";
    const KIND: i32 = sys::TypedarrayType::float32_array;
}
impl Element for u32 {
    const ARRAY: &'static str = "Uint32Array";
    const KIND: i32 = sys::TypedarrayType::uint32_array;
}

/// Where the elements of a typed array lie at this moment, and how many there are; `None` for any other value. A
/// detached array has none.
fn locate<T: Element>(env: sys::napi_env, array: sys::napi_value) -> Option<(*mut T, usize)> {
    let (mut kind, mut len, mut offset) = (0, 0, 0);
    let (mut data, mut buffer) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both handles belong to the running call; the out pointers are live locals.
    let status =
        unsafe { sys::napi_get_typedarray_info(env, array, &mut kind, &mut len, &mut data, &mut buffer, &mut offset) };
    let empty = len == 0 || data.is_null();
    let found = if empty { (std::ptr::NonNull::dangling().as_ptr(), 0) } else { (data.cast(), len) };
    (status == sys::Status::napi_ok && kind == T::KIND).then_some(found)
}

impl<T: Element> ToNapiValue for Copied<T> {
    unsafe fn to_napi_value(env: sys::napi_env, Copied(from): Self) -> napi::Result<sys::napi_value> {
        copy_into_v8(Env::from_raw(env), &from)
    }
}

/// Units of a string of JavaScript's, one byte each where none is larger.
pub enum Units {
    /// Latin-1.
    Narrow(Vec<u8>),
    /// UTF-16.
    Wide(Vec<u16>),
}

impl ToNapiValue for Units {
    unsafe fn to_napi_value(env: sys::napi_env, units: Self) -> napi::Result<sys::napi_value> {
        let env = Env::from_raw(env);
        Ok(match units {
            Units::Narrow(units) => env.create_string_latin1(units)?.raw(),
            Units::Wide(units) => env.create_string_utf16(units)?.raw(),
        })
    }
}

/// A new typed array with these numbers. JavaScript's own constructor allocates it: that one throws when there is
/// no memory, where `napi_create_arraybuffer` ends the process.
fn copy_into_v8<T: Element>(env: Env, from: &[T]) -> napi::Result<sys::napi_value> {
    let constructor: Function<'_, f64, ()> = env.get_global()?.get_named_property(T::ARRAY)?;
    let Ok(array) = constructor.new_instance(from.len() as f64).map(|array| array.raw()) else {
        let mut thrown = std::ptr::null_mut();
        // SAFETY: `env` is the environment of the running call. A pending exception would keep a promise unsettled.
        check_status!(unsafe { sys::napi_get_and_clear_last_exception(env.raw(), &mut thrown) })?;
        let message = format!("no memory for a {} of {}", T::ARRAY, from.len());
        let failure = Failure::from(Error { code: Code::Memory, message });
        return Err(JsError::from(failure).into_unknown(env).into());
    };
    match locate::<T>(env.raw(), array) {
        // SAFETY: the array holds `len` elements of this type, nobody else has it yet, and no JavaScript runs
        // between the question and the copy.
        Some((data, len)) if len == from.len() => unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), data, len) },
        _ => return Err(napi::Error::from_reason(format!("{} made something else", T::ARRAY))),
    }
    Ok(array)
}
