//! What an archive carries into a restore.
