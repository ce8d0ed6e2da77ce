//! FileSync: sends the build context to the builder (`moby.filesync.v1.FileSync`, fsutil's wire protocol).
