"""The httptools transport, part by part."""
