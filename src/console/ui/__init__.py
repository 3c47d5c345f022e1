"""The console's screens, on Textual. Everything shown is made of `console.spans`; nothing here parses markup."""
