"""What a user does with robot and algorithm together: train, play, examine. The only package that imports both."""
