-- Whether everybody has put back what he holds.
-- No keys   returns 1 or 0
return is_settling() and 0 or 1
