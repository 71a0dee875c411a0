"""From objects to archives, modules and packages."""
