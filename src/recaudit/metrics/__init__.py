"""How alike two models' lists are, how good a list is and how sure a figure is: pure functions of arrays."""
