"""What goes wrong in umas, as one line."""


class UmasError(RuntimeError):
    """One line that says what is wrong, which value, and what to do.

    status   what kind of failure it is, in the words of umas_status_name ("truncated file"), or
             None where it did not come from the library
    atoms    indices of the atoms it is about, from 0; empty where it is about none
    """

    def __init__(self, message, status=None, atoms=()):
        super().__init__(message)
        self.status, self.atoms = status, tuple(atoms)

    def __reduce__(self):
        return type(self), (str(self), self.status, self.atoms)
