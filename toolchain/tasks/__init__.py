"""What the tasks of dodo.py do: a task is made beside the functions that it runs."""
