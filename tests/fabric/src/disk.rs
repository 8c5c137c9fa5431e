//! A small file system that can be filled to the last byte. Needs root; without it a test says loudly that it is skipped.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A tmpfs of its own.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one. Nothing, and a line on stderr, where this user may not.
    pub fn mount(kib: u32) -> Option<SmallDisk> {
        let dir = tempfile::Builder::new().prefix("disk-").tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k,mode=0700"), "tmpfs"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(SmallDisk { dir }),
            failed => {
                // Straight to stderr: the test harness would swallow what is printed.
                let _ = writeln!(
                    io::stderr(),
                    "SKIPPED: no tmpfs can be mounted here (it takes root), so no full disk is tested: {failed:?}"
                );
                None
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file that fills the disk");
        // Large steps first, then single bytes: not one may be left.
        for step in [4096, 1] {
            while file.write_all(&vec![0; step]).is_ok() {}
        }
    }

    /// Gives the space back.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("the file that fills the disk");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that still dies must not keep it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
