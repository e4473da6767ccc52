//! What a pickle may import, and what it could do by it.
//!
//! An allow-list decides: what torch's own restricted reader lets pass is data. Everything else is told; lists of
//! dangerous names only say how loudly, since no such list is ever complete.
//!
//! Source: torch's `_weights_only_unpickler.py` (`_get_allowed_globals`).

use weightscope_core::{DType, Danger};

use super::pickle::{CHANGED, COMPUTED};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Torch's own parts of a checkpoint, and plain values of Python: nothing to tell.
    Data,
    /// Anything else.
    Code(Danger),
}

pub(super) fn meaning(module: &str, name: &str) -> Meaning {
    if is_data(module, name) {
        Meaning::Data
    } else if is_inert(module, name) {
        Meaning::Code(Danger::Inert)
    } else if is_dangerous(module, name) {
        Meaning::Code(Danger::Runs)
    } else {
        Meaning::Code(Danger::Unknown)
    }
}

/// Functions of `torch._utils` that put a tensor together.
const REBUILDERS: &[&str] = &[
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_qtensor",
    "_rebuild_sparse_tensor",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_nested_tensor",
    "_rebuild_wrapper_subclass",
    "_rebuild_device_tensor_from_numpy",
    "_rebuild_device_tensor_from_cpu_tensor",
    "_rebuild_xla_tensor",
];

const TORCH: &[&str] = &[
    "Size",
    "Tensor",
    "device",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
    "strided",
    "contiguous_format",
    "channels_last",
    "preserve_format",
];

const BUILTINS: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

fn is_data(module: &str, name: &str) -> bool {
    match module {
        "torch._utils" => REBUILDERS.contains(&name),
        "torch" | "torch.cuda" => {
            TORCH.contains(&name) || storage(module, name).is_some() || dtype(name).is_some()
        }
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage" | "_UntypedStorage"),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer"),
        "torch.serialization" => name == "_get_layout",
        "collections" => matches!(name, "OrderedDict" | "Counter" | "defaultdict"),
        "builtins" | "__builtin__" => BUILTINS.contains(&name),
        "_codecs" => name == "encode",
        "torch.jit._pickle" => name.starts_with("build_") || name == "restore_type_tag",
        "copyreg" | "copy_reg" => name == "_reconstructor",
        _ => false,
    }
}

/// What checkpoints of training programs hold beside weights, and what does nothing but hold values.
fn is_inert(module: &str, name: &str) -> bool {
    const NUMPY: &[&str] = &["scalar", "_reconstruct", "_frombuffer"];
    let is_class = name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('.');
    match module {
        "numpy.core.multiarray"
        | "numpy._core.multiarray"
        | "numpy.core.numeric"
        | "numpy._core.numeric" => NUMPY.contains(&name),
        "numpy" => {
            const KINDS: &[&str] =
                &["float", "int", "uint", "bool", "complex", "str_", "bytes_", "longlong"];
            matches!(name, "dtype" | "ndarray" | "half" | "single" | "double" | "intc")
                || KINDS.iter().any(|kind| {
                    name.strip_prefix(kind).is_some_and(|rest| {
                        rest.trim_matches('_').parse::<u16>().is_ok()
                            || rest.trim_matches('_').is_empty()
                    })
                })
        }
        "numpy.dtypes" => is_class && name.ends_with("DType"),
        "numpy.random._pickle" => name.ends_with("_ctor"),
        "numpy.random" | "numpy.random.bit_generator" | "enum" | "typing" => is_class,
        "argparse" => name == "Namespace",
        "types" => name == "SimpleNamespace",
        "pathlib" | "pathlib._local" => {
            matches!(
                name,
                "Path"
                    | "PosixPath"
                    | "WindowsPath"
                    | "PurePath"
                    | "PurePosixPath"
                    | "PureWindowsPath"
            )
        }
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
        "decimal" => name == "Decimal",
        "fractions" => name == "Fraction",
        "uuid" => matches!(name, "UUID" | "SafeUUID"),
        "collections" => matches!(name, "deque" | "UserDict" | "ChainMap"),
        "random" => name == "Random",
        "pytorch_lightning.utilities.parsing"
        | "lightning.fabric.utilities.data"
        | "lightning.pytorch.utilities.parsing"
        | "lightning_fabric.utilities.data" => name == "AttributeDict",
        "torch.torch_version" => name == "TorchVersion",
        _ => {
            let is_of = |package: &str| {
                module
                    .strip_prefix(package)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            // Classes of a TorchScript program are in the program, and no module has their names.
            is_class && (is_of("omegaconf") || is_of("torch.nn.modules") || is_of("__torch__"))
        }
    }
}

/// Packages that run programs, reach files, networks or processes, or lead to whatever else has been imported.
const PACKAGES: &[&str] = &[
    "__builtin__",
    "_aix_support",
    "_imp",
    "_io",
    "_operator",
    "_osx_support",
    "_pickle",
    "_posixsubprocess",
    "_pyrepl",
    "_socket",
    "_thread",
    "aiohttp",
    "ast",
    "asyncio",
    "bdb",
    "builtins",
    "cgitb",
    "cloudpickle",
    "code",
    "codecs",
    "codeop",
    "commands",
    "concurrent",
    "cProfile",
    "ctypes",
    "cffi",
    "curl",
    "dill",
    "dis",
    "distutils",
    "doctest",
    "ensurepip",
    "fileinput",
    "ftplib",
    "functools",
    "gc",
    "getpass",
    "glob",
    "http",
    "httplib",
    "httpx",
    "idlelib",
    "imaplib",
    "imp",
    "importlib",
    "inspect",
    "io",
    "joblib",
    "lib2to3",
    "linecache",
    "logging",
    "mailbox",
    "marshal",
    "mimetypes",
    "mmap",
    "modulefinder",
    "multiprocessing",
    "nntplib",
    "nt",
    "ntpath",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pickletools",
    "pip",
    "pkg_resources",
    "pkgutil",
    "platform",
    "poplib",
    "posix",
    "posixpath",
    "profile",
    "pty",
    "py_compile",
    "pydoc",
    "requests",
    "rlcompleter",
    "runpy",
    "runhouse",
    "setuptools",
    "shelve",
    "shutil",
    "signal",
    "site",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "sysconfig",
    "telnetlib",
    "tempfile",
    "test",
    "this",
    "threading",
    "timeit",
    "trace",
    "turtle",
    "types",
    "unittest",
    "urllib",
    "urllib2",
    "urllib3",
    "venv",
    "weakref",
    "webbrowser",
    "wsgiref",
    "xmlrpc",
    "zipfile",
    "zipimport",
];

/// The same within packages that hold harmless things too.
const MODULES: &[&str] = &[
    "numpy.distutils",
    "numpy.f2py",
    "numpy.lib.npyio",
    "numpy.testing",
    "numpy.load",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.elastic",
    "torch.distributed.launcher",
    "torch.distributed.rpc",
    "torch.distributed.run",
    "torch.fx",
    "torch.hub",
    "torch.jit",
    "torch.multiprocessing",
    "torch.ops",
    "torch.package",
    "torch.serialization",
    "torch.storage",
    "torch.testing",
    "torch.utils.cpp_extension",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.model_zoo",
    "transformers.utils.hub",
];

/// Names that run, open or reach something wherever they stand.
const NAMES: &[&str] = &[
    "__import__",
    "apply",
    "attrgetter",
    "breakpoint",
    "call",
    "check_call",
    "check_output",
    "compile",
    "delattr",
    "eval",
    "exec",
    "execfile",
    "execv",
    "execve",
    "exec_module",
    "getattr",
    "getoutput",
    "globals",
    "import_module",
    "input",
    "itemgetter",
    "load",
    "load_module",
    "load_state_dict_from_url",
    "loads",
    "locals",
    "memmap",
    "methodcaller",
    "open",
    "popen",
    "Popen",
    "remove",
    "rmtree",
    "run",
    "run_code",
    "run_module",
    "runcode",
    "runstring",
    "setattr",
    "spawn",
    "startfile",
    "system",
    "unlink",
    "vars",
    "write_bytes",
    "write_text",
];

fn is_dangerous(module: &str, name: &str) -> bool {
    let package = module.split('.').next().unwrap_or(module);
    let is_of = |other: &&str| {
        module.strip_prefix(*other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // A name with dots leads through attributes: to whatever a module has imported.
    let parts = || name.split('.');
    let is_hidden = |text: &str| text == COMPUTED || text == CHANGED;
    PACKAGES.contains(&package) && !(module == "functools" && name == "partial")
        || MODULES.iter().any(is_of)
        || parts().any(|part| NAMES.contains(&part) || part.starts_with("__"))
        || parts().count() > 1 && parts().any(|part| PACKAGES.contains(&part))
        || is_hidden(module)
        || is_hidden(name)
}

/// What the elements of a storage class are; bytes, where each tensor names its type.
pub(super) fn storage(module: &str, name: &str) -> Option<Element> {
    if !matches!(module, "torch" | "torch.cuda" | "torch.storage") {
        return None;
    }
    let plain = |dtype| Some(Element::Plain(dtype));
    match name {
        "UntypedStorage" | "_UntypedStorage" | "TypedStorage" => Some(Element::Other("bytes", 1)),
        "DoubleStorage" => plain(DType::F64),
        "FloatStorage" => plain(DType::F32),
        "HalfStorage" => plain(DType::F16),
        "BFloat16Storage" => plain(DType::BF16),
        "LongStorage" => plain(DType::I64),
        "IntStorage" => plain(DType::I32),
        "ShortStorage" => plain(DType::I16),
        "CharStorage" => plain(DType::I8),
        "ByteStorage" => plain(DType::U8),
        "BoolStorage" => plain(DType::Bool),
        "ComplexDoubleStorage" => Some(Element::Other("complex128", 16)),
        "ComplexFloatStorage" => Some(Element::Other("complex64", 8)),
        "QInt8Storage" => Some(Element::Other("qint8", 1)),
        "QUInt8Storage" => Some(Element::Other("quint8", 1)),
        "QInt32Storage" => Some(Element::Other("qint32", 4)),
        "QUInt4x2Storage" => Some(Element::Other("quint4x2", 1)),
        "QUInt2x4Storage" => Some(Element::Other("quint2x4", 1)),
        _ => None,
    }
}

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Plain(DType),
    /// A type of torch that is not decoded: its name and its bytes.
    Other(&'static str, u64),
}

impl Element {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Plain(dtype) => dtype.bytes() as u64,
            Self::Other(_, bytes) => bytes,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Other(name, _) => name,
        }
    }
}

/// Element types by torch's names.
pub(super) fn dtype(name: &str) -> Option<Element> {
    let plain = |dtype| Some(Element::Plain(dtype));
    match name {
        "float64" | "double" => plain(DType::F64),
        "float32" | "float" => plain(DType::F32),
        "float16" | "half" => plain(DType::F16),
        "bfloat16" => plain(DType::BF16),
        "float8_e4m3fn" => plain(DType::F8E4M3),
        "float8_e5m2" => plain(DType::F8E5M2),
        "float8_e4m3fnuz" => plain(DType::F8E4M3Fnuz),
        "float8_e5m2fnuz" => plain(DType::F8E5M2Fnuz),
        "float8_e8m0fnu" => plain(DType::F8E8M0),
        "int64" | "long" => plain(DType::I64),
        "int32" | "int" => plain(DType::I32),
        "int16" | "short" => plain(DType::I16),
        "int8" => plain(DType::I8),
        "uint64" => plain(DType::U64),
        "uint32" => plain(DType::U32),
        "uint16" => plain(DType::U16),
        "uint8" => plain(DType::U8),
        "bool" => plain(DType::Bool),
        "float4_e2m1fn_x2" => Some(Element::Other("float4_e2m1fn_x2", 1)),
        "complex32" | "chalf" => Some(Element::Other("complex32", 4)),
        "complex64" | "cfloat" => Some(Element::Other("complex64", 8)),
        "complex128" | "cdouble" => Some(Element::Other("complex128", 16)),
        "qint8" => Some(Element::Other("qint8", 1)),
        "quint8" => Some(Element::Other("quint8", 1)),
        "qint32" => Some(Element::Other("qint32", 4)),
        "quint4x2" => Some(Element::Other("quint4x2", 1)),
        "quint2x4" => Some(Element::Other("quint2x4", 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_could_do() {
        let check =
            |module, name, expected| assert_eq!(meaning(module, name), expected, "{module}.{name}");
        for (module, name) in [
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "BFloat16Storage"),
            ("torch", "float8_e4m3fn"),
            ("torch.storage", "UntypedStorage"),
            ("collections", "OrderedDict"),
            ("__builtin__", "set"),
        ] {
            check(module, name, Meaning::Data);
        }
        for (module, name) in [
            ("numpy.core.multiarray", "scalar"),
            ("numpy", "dtype"),
            ("numpy", "float64"),
            ("numpy.dtypes", "Float64DType"),
            ("argparse", "Namespace"),
            ("pathlib", "PosixPath"),
            ("omegaconf.dictconfig", "DictConfig"),
            ("torch.nn.modules.linear", "Linear"),
        ] {
            check(module, name, Meaning::Code(Danger::Inert));
        }
        for (module, name) in [
            ("mymodel.config", "Config"),
            ("transformers.training_args", "TrainingArguments"),
            ("functools", "partial"),
            ("omegaconfx", "Config"),
            ("numpy", "ones"),
        ] {
            check(module, name, Meaning::Code(Danger::Unknown));
        }
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("__builtin__", "__import__"),
            ("subprocess", "Popen"),
            ("torch", "load"),
            ("torch.storage", "_load_from_bytes"),
            ("torch", "serialization.os.system"),
            ("torch.nn.modules.linear", "math.os"),
            ("pathlib", "Path.write_text"),
            ("numpy.testing._private.utils", "runstring"),
            ("innocent", "Config.__init__.__globals__"),
            ("copyreg", "(made while unpickling)"),
            ("importlib.util", "find_spec"),
            ("operator", "attrgetter"),
        ] {
            check(module, name, Meaning::Code(Danger::Runs));
        }
    }
}
