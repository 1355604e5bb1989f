"""AMO: rows of a larger class moved into a rarer one."""
