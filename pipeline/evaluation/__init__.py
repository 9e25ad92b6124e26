"""What is looked at while and after a model learns: sample answers, the best evaluation, and scores of answers."""
