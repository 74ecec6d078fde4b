//! A folder on a local disk.
//!
//! | | Linux | macOS | Windows |
//! | --- | --- | --- | --- |
//! | sync a file | `fdatasync` | `F_FULLFSYNC` | `FlushFileBuffers` |
//! | sync names | `fsync` of the folder | the same | none: NTFS keeps names in its own log |
//! | allocate | `fallocate` | `F_PREALLOCATE` | the allocation size is set |
//! | one writer | `flock` on LOCK, gone with its holder | the same | `LockFileEx` |
//!
//! Segments are mapped for reading and written with positioned writes, never through the mapping: a full disk would
//! be a signal then. A mapping that somebody else truncates is a signal too, so the folder must be on a local disk
//! and left alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs4::FileExt;

use crate::error::{Code, Error, Result};
use crate::memory::Block;
use crate::storage::disk::Disk;
use crate::storage::segment::Segment;

const LOCK: &str = "LOCK";

/// A folder that this handle writes to, and nobody else.
pub(crate) struct Folder {
    path: PathBuf,
    /// Held for as long as the folder is open to be written.
    lock: Option<File>,
}

impl Folder {
    /// Opens the folder, and creates it when `create` says so; `None` where it is missing and is not to be created.
    pub fn open(path: &Path, create: bool) -> Result<Option<Folder>> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                let message = format!("path is {}, which is a file; a collection is a folder", path.display());
                return Err(Error::new(Code::Argument, message));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && !create => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
                std::fs::create_dir_all(path).map_err(|error| failed("create", path, &error))?;
                for parent in missing.iter().filter_map(|folder| folder.parent()) {
                    sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
                }
            }
            Err(error) => return Err(failed("open", path, &error)),
        }
        let name = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(|error| failed("open", &name, &error))?;
        match File::try_lock(&lock) {
            Ok(()) => Ok(Some(Folder { path: path.into(), lock: Some(lock) })),
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "{} is being written by another handle, worker or process; close that one first",
                    path.display()
                );
                Err(Error::new(Code::Locked, message))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &name, &error)),
        }
    }

    /// Opens the folder to be read, whoever writes to it; `None` where it is missing.
    pub fn open_to_read(path: &Path) -> Option<Folder> {
        path.is_dir().then(|| Folder { path: path.into(), lock: None })
    }

    /// Whether somebody has locked it, now or ever.
    pub fn has_lock(&self) -> bool {
        self.at(LOCK).exists()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file that must be there, with `len` bytes.
    fn file(&self, name: &str, len: usize) -> Result<(PathBuf, File)> {
        let path = self.at(name);
        let file = match OpenOptions::new().read(true).write(self.lock.is_some()).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::new(Code::Corrupt, format!("{} is missing", path.display())));
            }
            Err(error) => return Err(failed("open", &path, &error)),
        };
        let found = file.metadata().map_err(|error| failed("open", &path, &error))?.len();
        if found != len as u64 {
            let what = format!("it has {found} bytes instead of {len}");
            return Err(Error::corrupt(name, found.min(len as u64) as usize, &what));
        }
        Ok((path, file))
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(&format!("{what} {}", path.display()), error)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| failed("sync", path, &error))
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<()> {
    Ok(())
}

impl Disk for Folder {
    fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed("list", &self.path, &error))? {
            let entry = entry.map_err(|error| failed("list", &self.path, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != LOCK {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn get(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let path = self.at(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed("read", &path, &error))?;
        if bytes.len() > limit {
            return Err(Error::corrupt(name, limit, "it is longer than it can be"));
        }
        Ok(Some(bytes))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.at(name);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| failed("write", &path, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        std::fs::rename(self.at(from), self.at(to)).map_err(|error| failed("rename", &self.at(from), &error))
    }

    fn remove(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.at(name)).map_err(|error| failed("remove", &self.at(name), &error))
    }

    fn sync_names(&self) -> Result<()> {
        sync_folder(&self.path)
    }

    fn create(&self, name: &str, len: usize) -> Result<Arc<Segment>> {
        let path = self.at(name);
        let make = || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
            FileExt::allocate(&file, len as u64)?;
            file.set_len(len as u64)?;
            file.sync_all()?;
            Segment::mapped(name, file, len, 0)
        };
        make().map(Arc::new).map_err(|error| {
            // What is left of it is not named anywhere, and the next writer sweeps it.
            let _ = std::fs::remove_file(&path);
            failed("allocate", &path, &error)
        })
    }

    fn open(&self, name: &str, len: usize) -> Result<Arc<Segment>> {
        let (path, file) = self.file(name, len)?;
        Segment::mapped(name, file, len, len).map(Arc::new).map_err(|error| failed("map", &path, &error))
    }

    fn map(&self, name: &str, len: usize) -> Result<Arc<Block>> {
        let (path, file) = self.file(name, len)?;
        Block::copied(&file, len).map(Arc::new).map_err(|error| failed("map", &path, &error))
    }

    fn lasts(&self) -> bool {
        true
    }

    fn append(&self, segment: &Segment, bytes: &[u8]) -> Result<()> {
        segment.store(bytes)
    }

    fn sync(&self, segment: &Segment) -> Result<()> {
        segment.sync()
    }
}
