"""The console's screens, on Textual. Everything shown is made of `spork.console.text.spans`; nothing here parses markup."""
