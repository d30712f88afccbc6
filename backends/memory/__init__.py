"""The oracle: a backend that needs neither kernel nor privileges, and says what all others have to do."""
