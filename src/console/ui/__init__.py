"""The console's screens, on Textual. Everything shown is made of `spork.console.spans`; nothing here parses markup."""
