"""Tidemill and its peers side by side: same machine, same run, same generator."""
